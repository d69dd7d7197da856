//! How single values are written, for `serde(with)`.

use std::{fmt::Display, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::domain::{Timestamp, pacing::CallRate, phone::Region, text::Template};

/// Identifiers and numbers in their text form.
pub mod text {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// As [`text`], or null.
pub mod text_option {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// Instants in milliseconds since 1970.
pub mod millis {
    use super::*;

    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millisecond())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_millisecond(i64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// As [`millis`], or null.
pub mod millis_option {
    use super::*;

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.serialize_i64(at.as_millisecond()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let at = Option::<i64>::deserialize(from)?;
        at.map(|at| Timestamp::from_millisecond(at).map_err(D::Error::custom))
            .transpose()
    }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Durations in milliseconds.
pub mod duration_ms {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(to_ms(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// As [`duration_ms`], or null.
pub mod duration_ms_option {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_u64(to_ms(*duration)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

/// Templates as the text they were written as.
pub mod template {
    use super::*;

    pub fn serialize<S: Serializer>(template: &Template, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(template.source())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Template, D::Error> {
        Template::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A template, or null.
pub mod template_option {
    use super::*;

    pub fn serialize<S: Serializer>(template: &Option<Template>, to: S) -> Result<S::Ok, S::Error> {
        match template {
            Some(template) => to.serialize_some(template.source()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Template>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Template::parse(&text).map_err(D::Error::custom))
            .transpose()
    }
}

/// Countries as two letters.
pub mod region {
    use super::*;

    pub fn serialize<S: Serializer>(region: &Region, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&region.code())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Region, D::Error> {
        text::deserialize(from)
    }
}

/// Rates as starts per second.
pub mod per_second {
    use super::*;

    pub fn serialize<S: Serializer>(rate: &CallRate, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(rate.per_second())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<CallRate, D::Error> {
        CallRate::try_from(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}
