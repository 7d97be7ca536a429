//! Pictures, known by their content.

use std::io::Cursor;

use bitflow_domain::university::logo::{MAX_LOGO_BYTES, PictureFormat};
use bytes::Bytes;
use image::error::LimitErrorKind;
use image::{ImageError, ImageFormat, ImageReader, Limits};

/// Most pixels to a side.
const MAX_SIDE: u32 = 4096;

/// Most bytes that reading one may take: a picture may be small and unfold to much.
const MAX_MEMORY: u64 = 96 * 1024 * 1024;

/// A picture that can be shown: it was read whole.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The file.
    pub bytes: Bytes,
    /// What it is.
    pub format: PictureFormat,
}

/// The file is no picture that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// There is nothing in it.
    #[error("The picture is empty.")]
    Empty,
    /// Above [`MAX_LOGO_BYTES`].
    #[error("The picture must have at most {MAX_LOGO_BYTES} bytes.")]
    TooHeavy,
    /// Something else, whatever it was called.
    #[error("The content must be a PNG, JPEG or WebP picture.")]
    Unknown,
    /// It begins like one, and cannot be read to its end.
    #[error("The picture is damaged or incomplete.")]
    Damaged,
    /// Too many pixels to a side.
    #[error("The picture must have at most {MAX_SIDE} pixels to a side.")]
    TooWide,
    /// Not too many to a side, but too much altogether.
    #[error(
        "The picture must unfold to at most {MAX_MEMORY} bytes: fewer pixels, or fewer bits to each."
    )]
    TooDeep,
}

impl Picture {
    /// Reads a file; its content decides what it is, not what it is called. Whatever it is refused
    /// for is for whoever sent it to read.
    pub fn read(bytes: Bytes) -> Result<Self, PictureError> {
        if bytes.is_empty() {
            return Err(PictureError::Empty);
        }
        if bytes.len() as u64 > MAX_LOGO_BYTES {
            return Err(PictureError::TooHeavy);
        }
        let guessed = image::guess_format(&bytes).ok();
        let (kind, format) = match guessed {
            Some(kind @ ImageFormat::Png) => (kind, PictureFormat::Png),
            Some(kind @ ImageFormat::Jpeg) => (kind, PictureFormat::Jpeg),
            Some(kind @ ImageFormat::WebP) => (kind, PictureFormat::Webp),
            _ => return Err(PictureError::Unknown),
        };
        if !has_end(format, &bytes) {
            return Err(PictureError::Damaged);
        }
        let mut limits = Limits::no_limits();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_MEMORY);
        let mut reader = ImageReader::with_format(Cursor::new(&bytes), kind);
        reader.limits(limits);
        match reader.decode() {
            Ok(_) => Ok(Self { bytes, format }),
            Err(ImageError::Limits(limit)) => Err(match limit.kind() {
                LimitErrorKind::DimensionError => PictureError::TooWide,
                _ => PictureError::TooDeep,
            }),
            Err(_) => Err(PictureError::Damaged),
        }
    }
}

/// Whether the file goes on to its end: decoders are content with less, and fill in the rest.
fn has_end(format: PictureFormat, bytes: &[u8]) -> bool {
    match format {
        PictureFormat::Png => {
            const IEND: &[u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";
            bytes.windows(IEND.len()).any(|it| it == IEND)
        }
        PictureFormat::Jpeg => scans_end(bytes).is_some(),
        // RIFF: four letters, then how much follows.
        PictureFormat::Webp => {
            let length = bytes.get(4..8).and_then(|length| length.try_into().ok());
            let length = length.map_or(u32::MAX, u32::from_le_bytes);
            bytes.len() as u64 >= u64::from(length) + 8
        }
    }
}

/// Follows a JPEG's markers to the "end of image" after its last scan (ITU-T T.81, annex B); nothing
/// where there is none.
///
/// One by one, since a header may hold a whole picture, a thumbnail, with an end of its own; and cameras
/// and editors add what they like after the end.
fn scans_end(bytes: &[u8]) -> Option<()> {
    const END_OF_IMAGE: u8 = 0xD9;
    const START_OF_SCAN: u8 = 0xDA;
    let mut rest = bytes;
    let mut scanned = false;
    loop {
        let at = rest.iter().position(|byte| *byte == 0xFF)?;
        rest = &rest[at + 1..];
        match *rest.first()? {
            // Filling: the marker is still to come.
            0xFF => {}
            // Within a scan: a byte of its data, or where it may be taken up again. And what else
            // stands alone.
            0x00 | 0x01 | 0xD0..=0xD8 => rest = &rest[1..],
            END_OF_IMAGE => return scanned.then_some(()),
            kind => {
                scanned |= kind == START_OF_SCAN;
                let length = rest.get(1..3)?.try_into().ok()?;
                let length = usize::from(u16::from_be_bytes(length));
                rest = rest.get(1 + length..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    fn picture(kind: ImageFormat, side: u32) -> Vec<u8> {
        let picture = RgbImage::from_fn(side, side, |x, y| {
            let byte = |it: u32| u8::try_from(it % 256).unwrap();
            image::Rgb([byte(x * 7), byte(y * 13), byte(x * y)])
        });
        let mut file = Cursor::new(Vec::new());
        let picture = DynamicImage::from(picture);
        picture.write_to(&mut file, kind).unwrap();
        file.into_inner()
    }

    fn check(bytes: &[u8], expect: Result<PictureFormat, PictureError>) {
        let seen = Picture::read(Bytes::copy_from_slice(bytes)).map(|it| it.format);
        assert_eq!(seen, expect, "{} bytes", bytes.len());
    }

    #[test]
    fn the_content_decides() {
        for (kind, format) in [
            (ImageFormat::Png, PictureFormat::Png),
            (ImageFormat::Jpeg, PictureFormat::Jpeg),
            (ImageFormat::WebP, PictureFormat::Webp),
        ] {
            let file = picture(kind, 40);
            check(&file, Ok(format));
            for part in [20, file.len() / 2, file.len() - 1] {
                let seen = Picture::read(Bytes::copy_from_slice(&file[..part]));
                let seen = seen.map(|it| it.format);
                assert_eq!(seen, Err(PictureError::Damaged), "{kind:?}, {part} bytes");
            }
        }
    }

    /// What a camera writes: a comment that looks like a whole picture, and more after the end.
    #[test]
    fn a_jpeg_ends_after_its_last_scan() {
        let file = picture(ImageFormat::Jpeg, 40);
        let thumbnail = b"\xFF\xFE\x00\x0A\xFF\xD8\xFF\xDA\x00\x02\xFF\xD9";
        let with_thumbnail = [&file[..2], thumbnail, &file[2..]].concat();
        check(&with_thumbnail, Ok(PictureFormat::Jpeg));
        for after in [&b"\0\0\0\0"[..], b"more", b"\xFF\xD8\xFF\xE0\x00"] {
            let longer = [&with_thumbnail, after].concat();
            check(&longer, Ok(PictureFormat::Jpeg));
        }
        let length = with_thumbnail.len();
        // After the thumbnail's end, in the scan, and before the end of all.
        for part in [2 + thumbnail.len(), length - 60, length - 2, length - 1] {
            check(&with_thumbnail[..part], Err(PictureError::Damaged));
        }
        // An end, but nothing that it ends.
        check(b"\xFF\xD8\xFF\xD9", Err(PictureError::Damaged));
        // Padded, so that it is as long as a whole one.
        let padded = [&with_thumbnail[..length - 60], &[0; 60]].concat();
        check(&padded, Err(PictureError::Damaged));
    }

    #[test]
    fn what_is_no_picture() {
        check(b"", Err(PictureError::Empty));
        check(b"<!doctype html><script>", Err(PictureError::Unknown));
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        check(svg, Err(PictureError::Unknown));
        check(b"GIF89a\x01\0\x01\0\0\0\0;", Err(PictureError::Unknown));
        let large = vec![0; usize::try_from(MAX_LOGO_BYTES).unwrap() + 1];
        check(&large, Err(PictureError::TooHeavy));
    }

    #[test]
    fn what_unfolds_to_too_much() {
        let wide = DynamicImage::new_luma8(MAX_SIDE + 1, 1);
        let mut file = Cursor::new(Vec::new());
        wide.write_to(&mut file, ImageFormat::Png).unwrap();
        check(&file.into_inner(), Err(PictureError::TooWide));
        // No wider than it may be, but with 8 bytes to a pixel: 128 MiB.
        let deep = [
            &b"\x89PNG\r\n\x1A\n"[..],
            b"\0\0\0\x0DIHDR\0\0\x10\0\0\0\x10\0\x10\x06\0\0\0\xA2\x33\xF8\x54",
            b"\0\0\0\x09IDAT\x78\x9C\x63\0\0\0\x01\0\x01\x5E\xFF\x7D\xF9",
            b"\0\0\0\0IEND\xAE\x42\x60\x82",
        ];
        check(&deep.concat(), Err(PictureError::TooDeep));
    }
}
