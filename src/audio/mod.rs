//! Telephone audio and the formats that agents have instead, turned into each other.
//!
//! Pure: bytes in, bytes out, whatever pieces they come in. The telephone's format is mu-law at 8 kHz.
//! What a conversion has to remember between two pieces it keeps, and it writes behind what is in the
//! given buffer, so that a buffer that is used again costs no allocation.
//!
//! Written here because the rates are small multiples of one: that takes a filter and no more, while
//! general resamplers want blocks of a fixed size, one channel apart from the other, and floats.

pub mod mulaw;
mod resample;

use resample::{Lower, Raise};

/// Samples a second of a telephone line.
const LINE_HERTZ: u32 = 8_000;

/// Raw audio of one channel, as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The telephone's own: mu-law at 8 kHz, a byte for a sample.
    Telephone,
    /// Signed 16-bit samples, the low byte first.
    Linear(Rate),
}

/// Samples a second, as a multiple of the telephone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(usize);

impl Rate {
    /// The rate of so many samples a second: 8,000, 16,000, 24,000 or 48,000.
    pub fn of_hertz(hertz: u32) -> Option<Self> {
        let is_multiple = matches!(hertz, 8_000 | 16_000 | 24_000 | 48_000);
        is_multiple.then_some(Self((hertz / LINE_HERTZ) as usize))
    }
}

/// Telephone audio on its way into another format.
#[derive(Debug)]
pub struct FromTelephone {
    /// None where there is nothing to do.
    raise: Option<Raise>,
}

impl FromTelephone {
    /// Into `format`.
    pub fn into_format(format: Format) -> Self {
        Self {
            raise: match format {
                Format::Telephone => None,
                Format::Linear(Rate(factor)) => Some(Raise::by(factor)),
            },
        }
    }

    /// Converts the next piece, behind what is in `out`.
    pub fn convert(&mut self, audio: &[u8], out: &mut Vec<u8>) {
        match &mut self.raise {
            None => out.extend_from_slice(audio),
            Some(raise) => {
                let samples = audio.iter().map(|byte| f32::from(mulaw::decode(*byte)));
                raise.push(samples, |sample| {
                    out.extend_from_slice(&whole(sample).to_le_bytes());
                });
            }
        }
    }
}

/// Audio of another format on its way to the telephone.
#[derive(Debug)]
pub struct ToTelephone {
    /// None where there is nothing to do.
    lower: Option<Lower>,
    /// The first half of a sample whose other half has not come.
    half: Option<u8>,
}

impl ToTelephone {
    /// From `format`.
    pub fn from_format(format: Format) -> Self {
        Self {
            lower: match format {
                Format::Telephone => None,
                Format::Linear(Rate(factor)) => Some(Lower::by(factor)),
            },
            half: None,
        }
    }

    /// Converts the next piece, behind what is in `out`. A piece may end within a sample.
    pub fn convert(&mut self, audio: &[u8], out: &mut Vec<u8>) {
        let Some(lower) = &mut self.lower else {
            return out.extend_from_slice(audio);
        };
        let mut put = |sample| out.push(mulaw::encode(whole(sample)));
        let mut rest = audio;
        if let (Some(low), Some((high, others))) = (self.half, audio.split_first()) {
            lower.push(std::iter::once(linear([low, *high])), &mut put);
            (self.half, rest) = (None, others);
        }
        let pairs = rest.chunks_exact(2);
        if let [low] = pairs.remainder() {
            self.half = Some(*low);
        }
        lower.push(pairs.map(|pair| linear([pair[0], pair[1]])), &mut put);
    }
}

fn linear(bytes: [u8; 2]) -> f32 {
    f32::from(i16::from_le_bytes(bytes))
}

/// The nearest sample; what is too loud is as loud as can be.
fn whole(sample: f32) -> i16 {
    // Such a cast saturates.
    sample.round() as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

    fn format(hertz: u32) -> Format {
        Format::Linear(Rate::of_hertz(hertz).unwrap())
    }

    /// A tone of that pitch and height.
    fn tone(pitch: u32, height: f64, rate: u32, n_samples: usize) -> Vec<i16> {
        let step = TAU * f64::from(pitch) / f64::from(rate);
        (0..n_samples)
            .map(|n| (height * (step * n as f64).sin()).round() as i16)
            .collect()
    }

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|it| it.to_le_bytes()).collect()
    }

    fn samples(bytes: &[u8]) -> Vec<i16> {
        let pairs = bytes.chunks_exact(2);
        pairs.map(|it| i16::from_le_bytes([it[0], it[1]])).collect()
    }

    fn loudness(samples: &[i16]) -> f64 {
        let energy: f64 = samples.iter().map(|it| f64::from(*it).powi(2)).sum();
        (energy / samples.len() as f64).sqrt()
    }

    fn to_telephone(hertz: u32, audio: &[i16]) -> Vec<i16> {
        let mut out = Vec::new();
        ToTelephone::from_format(format(hertz)).convert(&bytes(audio), &mut out);
        out.into_iter().map(mulaw::decode).collect()
    }

    fn from_telephone(hertz: u32, audio: &[u8]) -> Vec<i16> {
        let mut out = Vec::new();
        FromTelephone::into_format(format(hertz)).convert(audio, &mut out);
        samples(&out)
    }

    /// How often a wave rises through zero in a second.
    fn pitch(samples: &[i16], rate: u32) -> f64 {
        let n_rises = samples.windows(2).filter(|it| it[0] < 0 && it[1] >= 0);
        n_rises.count() as f64 * f64::from(rate) / samples.len() as f64
    }

    // proves F-29
    #[test]
    fn a_tone_keeps_its_pitch_and_its_loudness() {
        for hertz in RATES {
            for high in [300, 440, 1_000, 3_000] {
                let there = to_telephone(hertz, &tone(high, 8_000.0, hertz, hertz as usize));
                let line: Vec<u8> = tone(high, 8_000.0, 8_000, 8_000)
                    .into_iter()
                    .map(mulaw::encode)
                    .collect();
                let back = from_telephone(hertz, &line);
                for (heard, rate) in [(&there, 8_000), (&back, hertz)] {
                    // The filter begins and ends in silence.
                    let heard = &heard[rate as usize / 10..];
                    let change = loudness(heard) / (8_000.0 / 2_f64.sqrt());
                    assert!(
                        (0.95..1.05).contains(&change),
                        "{high} at {hertz}: {change}"
                    );
                    let heard = pitch(heard, rate);
                    let wanted = f64::from(high);
                    assert!(
                        (heard - wanted).abs() < wanted / 100.0,
                        "{heard} for {high}"
                    );
                }
            }
        }
    }

    // proves F-29
    #[test]
    fn what_a_telephone_cannot_carry_is_not_heard_as_something_else() {
        for (hertz, high) in [(16_000, 5_000), (24_000, 7_000), (48_000, 15_000)] {
            let heard = to_telephone(hertz, &tone(high, 8_000.0, hertz, hertz as usize));
            assert!(loudness(&heard[800..]) < 40.0, "{high} at {hertz}");
        }
        // Nor has what is raised anything that was not there.
        let line: Vec<u8> = tone(1_000, 8_000.0, 8_000, 8_000)
            .into_iter()
            .map(mulaw::encode)
            .collect();
        let raised = from_telephone(16_000, &line);
        let wave = tone(1_000, 8_000.0, 16_000, 32);
        // The filter takes 15 samples of the line.
        let noise: Vec<i16> = raised[3_200..]
            .iter()
            .zip(wave.iter().cycle().skip(3_200 - 30).take(12_000))
            .map(|(heard, said)| heard - said)
            .collect();
        assert!(loudness(&noise) < 8_000.0 / 30.0, "{}", loudness(&noise));
    }

    // proves F-29
    #[test]
    fn there_and_back_is_what_it_was() {
        let said = tone(440, 8_000.0, 8_000, 8_000);
        let line: Vec<u8> = said.iter().copied().map(mulaw::encode).collect();
        for hertz in RATES {
            let back = to_telephone(hertz, &from_telephone(hertz, &line));
            assert_eq!(back.len(), said.len());
            // Each way takes 15 samples, where there is anything to filter.
            let late = if hertz == 8_000 { 0 } else { 30 };
            let error: Vec<i16> = back[400..]
                .iter()
                .zip(&said[400 - late..])
                .map(|(heard, said)| heard - said)
                .collect();
            assert!(loudness(&error) < 8_000.0 / 20.0, "{}", loudness(&error));
        }
    }

    #[test]
    fn the_telephones_own_format_is_passed_through_and_other_rates_are_not_known() {
        let mut out = Vec::new();
        FromTelephone::into_format(Format::Telephone).convert(&[1, 2, 3], &mut out);
        ToTelephone::from_format(Format::Telephone).convert(&[4], &mut out);
        assert_eq!(out, [1, 2, 3, 4]);
        for hertz in [0, 11_025, 22_050, 32_000, 44_100] {
            assert_eq!(Rate::of_hertz(hertz), None);
        }
    }

    #[test]
    fn buffers_that_are_used_again_do_not_grow() {
        let mut there = FromTelephone::into_format(format(16_000));
        let mut back = ToTelephone::from_format(format(16_000));
        let (mut raised, mut lowered) = (Vec::new(), Vec::new());
        let mut sizes = Vec::new();
        for _ in 0..50 {
            raised.clear();
            lowered.clear();
            there.convert(&[0x55; 160], &mut raised);
            back.convert(&raised, &mut lowered);
            assert_eq!((raised.len(), lowered.len()), (640, 160));
            sizes.push((raised.capacity(), lowered.capacity()));
        }
        assert!(sizes[1..].windows(2).all(|it| it[0] == it[1]), "{sizes:?}");
    }

    proptest! {
        // proves F-29
        #[test]
        fn it_does_not_matter_how_audio_is_cut(
            audio in proptest::collection::vec(any::<u8>(), 2..2_000),
            cuts in proptest::collection::vec(1_usize..700, 1..20),
            rate in 0_usize..RATES.len(),
        ) {
            let audio = &audio[..audio.len() / 2 * 2];
            let format = format(RATES[rate]);
            let mut there = (FromTelephone::into_format(format), Vec::new(), Vec::new());
            let mut back = (ToTelephone::from_format(format), Vec::new(), Vec::new());
            FromTelephone::into_format(format).convert(audio, &mut there.1);
            ToTelephone::from_format(format).convert(audio, &mut back.1);
            let mut rest = audio;
            for cut in cuts.into_iter().cycle() {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                there.0.convert(piece, &mut there.2);
                back.0.convert(piece, &mut back.2);
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(&there.1, &there.2);
            prop_assert_eq!(&back.1, &back.2);
            let factor = RATES[rate] as usize / 8_000;
            prop_assert_eq!(there.1.len(), audio.len() * 2 * factor);
            prop_assert_eq!(back.1.len(), (audio.len() / 2).div_ceil(factor));
        }
    }
}
