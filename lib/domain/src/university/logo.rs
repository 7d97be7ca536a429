//! A university's logo (contract section 1.2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::University;
use crate::id::LogoId;

/// A logo, as it is stored; the picture itself is a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// Names its file: another picture is another file.
    pub id: LogoId,
    /// What kind of picture it is.
    pub format: PictureFormat,
    /// Size of its file, bytes.
    pub bytes: u64,
    /// SHA-256 of its file, hex.
    pub digest: String,
    /// When it came.
    pub uploaded_at: Timestamp,
}

/// Largest logo: 2 MiB.
pub const MAX_LOGO_BYTES: u64 = 2 * 1024 * 1024;

/// Kinds of pictures that a logo may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// <https://www.w3.org/TR/png/>
    Png,
    /// ITU-T T.81.
    Jpeg,
    /// <https://developers.google.com/speed/webp>
    Webp,
}

/// The text names no kind of picture that a logo may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be image/png, image/jpeg or image/webp")]
pub struct NotALogo;

impl PictureFormat {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// Reads a media type, written as [`media_type`](Self::media_type) writes it: without parameters.
    pub fn parse(media_type: &str) -> Result<Self, NotALogo> {
        let known = Self::ALL.into_iter();
        let mut found = known.filter(|it| it.media_type() == media_type);
        found.next().ok_or(NotALogo)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// How its files' names end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }
}

impl University {
    /// The university with another logo, or with none; `None` where it is the same picture.
    #[must_use]
    pub fn with_logo(&self, logo: Option<Logo>, now: Timestamp) -> Option<Self> {
        let picture = |logo: &Option<Logo>| logo.as_ref().map(|logo| logo.digest.clone());
        (picture(&self.logo) != picture(&logo)).then(|| {
            let next = Self {
                logo,
                ..self.clone()
            };
            next.written(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::UniversityField;
    use super::super::tests::university;
    use super::*;

    fn logo(number: u128, digest: &str) -> Logo {
        Logo {
            id: LogoId::from_uuid(Uuid::from_u128(number)),
            format: PictureFormat::Png,
            bytes: 7,
            digest: digest.to_owned(),
            uploaded_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_same_picture_changes_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let before = university();
        assert_eq!(before.with_logo(None, now), None);
        let with = before.with_logo(Some(logo(1, "a")), now).unwrap();
        assert_eq!(before.differences(&with), [UniversityField::Logo]);
        assert_eq!(with.with_logo(Some(logo(2, "a")), now), None);
        let other = with.with_logo(Some(logo(2, "b")), now).unwrap();
        assert_eq!(other.version.get(), 3);
        assert!(other.with_logo(None, now).unwrap().logo.is_none());
    }

    #[test]
    fn media_types() {
        for format in PictureFormat::ALL {
            assert_eq!(PictureFormat::parse(format.media_type()), Ok(format));
        }
        assert_eq!(PictureFormat::parse("image/svg+xml"), Err(NotALogo));
    }
}
