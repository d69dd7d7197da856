//! Base64 of telephone audio turned into base64 of an agent's format, and back, in buffers that are used
//! again for each piece.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::audio::{Format, FromTelephone, ToTelephone};

/// What the callee says, for an agent that hears in another format.
#[derive(Debug)]
pub(super) struct Ears {
    conversion: FromTelephone,
    buffers: Buffers,
}

impl Ears {
    /// None where nothing has to be converted.
    pub fn unless_telephone(format: Format) -> Option<Self> {
        (format != Format::Telephone).then(|| Self {
            conversion: FromTelephone::into_format(format),
            buffers: Buffers::default(),
        })
    }

    /// The next piece; none where it is not base64.
    pub fn hear(&mut self, payload: &str) -> Option<&str> {
        let conversion = &mut self.conversion;
        let convert = |audio: &[u8], out: &mut Vec<u8>| conversion.convert(audio, out);
        self.buffers.through(payload, convert)
    }
}

/// What an agent says that speaks in another format.
#[derive(Debug)]
pub(super) struct Mouth {
    conversion: ToTelephone,
    buffers: Buffers,
}

impl Mouth {
    /// None where nothing has to be converted.
    pub fn unless_telephone(format: Format) -> Option<Self> {
        (format != Format::Telephone).then(|| Self {
            conversion: ToTelephone::from_format(format),
            buffers: Buffers::default(),
        })
    }

    /// The next piece; none where it is not base64.
    pub fn say(&mut self, payload: &str) -> Option<&str> {
        let conversion = &mut self.conversion;
        let convert = |audio: &[u8], out: &mut Vec<u8>| conversion.convert(audio, out);
        self.buffers.through(payload, convert)
    }
}

#[derive(Debug, Default)]
struct Buffers {
    before: Vec<u8>,
    after: Vec<u8>,
    text: String,
}

impl Buffers {
    fn through(
        &mut self,
        payload: &str,
        convert: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> Option<&str> {
        self.before.clear();
        self.after.clear();
        self.text.clear();
        STANDARD.decode_vec(payload, &mut self.before).ok()?;
        convert(&self.before, &mut self.after);
        STANDARD.encode_string(&self.after, &mut self.text);
        Some(&self.text)
    }
}
