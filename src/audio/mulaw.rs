//! Mu-law (G.711): a sample of a telephone line in a byte.

/// The byte of silence.
pub const SILENCE: u8 = 0xFF;

const BIAS: i16 = 0x84;
const CLIP: i16 = 32_635;

static DECODED: [i16; 256] = decoding_table();

const fn decoding_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand(byte as u8);
        byte += 1;
    }
    table
}

const fn expand(byte: u8) -> i16 {
    let bits = !byte;
    let exponent = (bits >> 4) & 0x07;
    let mantissa = (bits & 0x0F) as i16;
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The 16-bit sample of a mu-law byte.
pub fn decode(byte: u8) -> i16 {
    DECODED[usize::from(byte)]
}

/// The mu-law byte of a 16-bit sample.
pub fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0x00 };
    let magnitude = sample.saturating_abs().min(CLIP) + BIAS;
    // The bias keeps bit 7 or a higher one set, so the exponent is never below 0.
    let exponent = 8 - (magnitude.leading_zeros() as u8);
    let mantissa = ((magnitude >> (exponent + 3)) & 0x0F) as u8;
    !(sign | (exponent << 4) | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves F-29
    #[test]
    fn mu_law_follows_its_table() {
        for (byte, sample) in [
            (0x00, -32_124),
            (0x80, 32_124),
            (0xFF, 0),
            (0x7F, 0),
            (0xFE, 8),
            (0x7E, -8),
            (0xD5, 716),
            (0x55, -716),
            (0xF2, 104),
        ] {
            assert_eq!(decode(byte), sample, "{byte:#x}");
        }
        for (sample, byte) in [
            (0, 0xFF),
            (100, 0xF2),
            (1000, 0xCE),
            (8000, 0xA0),
            (16_000, 0x90),
            (32_767, 0x80),
            (-32_768, 0x00),
            (-1000, 0x4E),
        ] {
            assert_eq!(encode(sample), byte, "{sample}");
        }
    }

    #[test]
    fn every_byte_reads_back_but_negative_zero() {
        for byte in 0..=u8::MAX {
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(encode(decode(byte)), expected);
        }
    }
}
