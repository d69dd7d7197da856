//! Sound as files.

/// The head of a WAV file of 16-bit samples that follow, in turns for each channel.
pub fn wav_head(n_channels: u16, rate: u32, n_samples: usize) -> Vec<u8> {
    let n_bytes = n_samples as u32 * u32::from(n_channels) * 2;
    let mut file = Vec::with_capacity(n_bytes as usize + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + n_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&n_channels.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * u32::from(n_channels) * 2).to_le_bytes());
    file.extend_from_slice(&(n_channels * 2).to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&n_bytes.to_le_bytes());
    file
}

/// A frame of MPEG-1 layer III at 32 kbit/s and 44.1 kHz, mono: its head, and nothing to be heard.
const MP3_HEAD: [u8; 4] = [0xff, 0xfb, 0x10, 0xc0];
const MP3_FRAME_BYTES: usize = 104;
const MP3_FRAME_SECONDS: f64 = 1_152.0 / 44_100.0;

/// An MP3 file that is silent for so long: agents of a simulator keep the length of what was said.
pub fn silent_mp3(seconds: f64) -> Vec<u8> {
    let mut frame = [0; MP3_FRAME_BYTES];
    frame[..MP3_HEAD.len()].copy_from_slice(&MP3_HEAD);
    let n_frames = (seconds / MP3_FRAME_SECONDS).ceil().max(1.0) as usize;
    frame.repeat(n_frames)
}
