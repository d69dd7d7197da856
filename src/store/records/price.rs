//! What carriers take for calls.

use serde::{Deserialize, Serialize};

use super::wire::{millis, text};
use crate::domain::{
    Timestamp,
    price::{CarrierPrice, Currency, Price},
};

/// An amount of money.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Price")]
struct PriceShape {
    millionths: i64,
    #[serde(with = "text")]
    currency: Currency,
}

/// What is known of a call's price.
#[derive(Serialize, Deserialize)]
#[serde(
    remote = "CarrierPrice",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum StateShape {
    Awaited {
        #[serde(with = "millis")]
        ask_at: Timestamp,
        n_asked: u32,
    },
    Known(#[serde(with = "PriceShape")] Price),
    GivenUp,
}

/// A value in its shape, or null.
macro_rules! option_in_shape {
    ($name:ident, $value:ty, $shape:literal) => {
        pub mod $name {
            use serde::{Deserializer, Serializer};

            use super::*;

            #[derive(Serialize, Deserialize)]
            struct Value(#[serde(with = $shape)] $value);

            pub fn serialize<S: Serializer>(
                value: &Option<$value>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                value.map(Value).serialize(to)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$value>, D::Error> {
                Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
            }
        }
    };
}

option_in_shape!(price_option, Price, "PriceShape");
option_in_shape!(price_state_option, CarrierPrice, "StateShape");
