//! A real image, made on the spot: larger than the look-ahead, so that it is streamed.

/// Pixels on each side.
const SIDE: u32 = 256;

/// A PNG file of colours that run into each other.
pub(super) fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::NoCompression);
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            pixels.extend([x as u8, y as u8, (x ^ y) as u8]);
        }
    }
    let mut writer = encoder.write_header().expect("memory takes everything");
    writer
        .write_image_data(&pixels)
        .expect("as many pixels as the head says");
    writer.finish().expect("memory takes everything");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_larger_than_the_look_ahead() {
        let file = png();
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n") && file.len() > 64 * 1024);
    }
}
