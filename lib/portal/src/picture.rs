//! Pictures, known by their content.

use std::io::Cursor;

use bitflow_domain::university::logo::{MAX_LOGO_BYTES, PictureFormat};
use bytes::Bytes;
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
    TooLarge,
    /// Something else, whatever it was called.
    #[error("The content must be a PNG, JPEG or WebP picture.")]
    Unknown,
    /// It begins like one, and cannot be read to its end.
    #[error("The picture is damaged or incomplete.")]
    Damaged,
    /// Too many pixels.
    #[error("The picture must have at most {MAX_SIDE} pixels to a side.")]
    TooWide,
}

impl Picture {
    /// Reads a file; its content decides what it is, not what it is called.
    pub fn read(bytes: Bytes) -> Result<Self, PictureError> {
        if bytes.is_empty() {
            return Err(PictureError::Empty);
        }
        if bytes.len() as u64 > MAX_LOGO_BYTES {
            return Err(PictureError::TooLarge);
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
            Err(ImageError::Limits(_)) => Err(PictureError::TooWide),
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
        // "End of image"; cameras pad with zeros after it.
        PictureFormat::Jpeg => {
            let padding = bytes.iter().rev().take_while(|byte| **byte == 0).count();
            bytes[..bytes.len() - padding].ends_with(&[0xFF, 0xD9])
        }
        // RIFF: four letters, then how much follows.
        PictureFormat::Webp => {
            let length = bytes.get(4..8).and_then(|length| length.try_into().ok());
            let length = length.map_or(u32::MAX, u32::from_le_bytes);
            bytes.len() as u64 >= u64::from(length) + 8
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

    #[test]
    fn what_is_no_picture() {
        check(b"", Err(PictureError::Empty));
        check(b"<!doctype html><script>", Err(PictureError::Unknown));
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        check(svg, Err(PictureError::Unknown));
        check(b"GIF89a\x01\0\x01\0\0\0\0;", Err(PictureError::Unknown));
        let large = vec![0; usize::try_from(MAX_LOGO_BYTES).unwrap() + 1];
        check(&large, Err(PictureError::TooLarge));
    }

    #[test]
    fn what_unfolds_to_too_much() {
        let wide = DynamicImage::new_luma8(MAX_SIDE + 1, 1);
        let mut file = Cursor::new(Vec::new());
        wide.write_to(&mut file, ImageFormat::Png).unwrap();
        check(&file.into_inner(), Err(PictureError::TooWide));
    }
}
