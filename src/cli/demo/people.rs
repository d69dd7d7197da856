//! Who is called: fictional people at numbers that are reserved for fiction.

use anyhow::bail;

/// The sample list, with the bad rows that lists have.
const SAMPLE: &str = include_str!("../../../demo/people.csv");

/// How many of the sample's rows can be called.
const N_SAMPLE: usize = 300;

/// Area codes whose 555-0100 to 555-0199 are reserved for fiction and not in the sample.
const AREA_CODES: [u16; 40] = [
    201, 203, 205, 206, 207, 208, 209, 210, 213, 214, 215, 216, 217, 218, 219, 225, 228, 229, 231,
    234, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 276, 281, 301, 302, 304,
    305, 307,
];

/// A list in which exactly `n` people can be called.
pub(super) fn list(n: usize) -> anyhow::Result<String> {
    let most = AREA_CODES.len() * 100;
    match n {
        N_SAMPLE => Ok(SAMPLE.to_owned()),
        n if (1..=most).contains(&n) => Ok(generated(n)),
        _ => bail!("--contacts must be from 1 to {most}"),
    }
}

fn generated(n: usize) -> String {
    let mut csv = String::from("First Name,Last Name,Phone Number,City,Plan,Renewal Date\n");
    let plans = ["Basic", "Family", "Business"];
    for i in 0..n {
        let phone = format!("+1{}55501{:02}", AREA_CODES[i / 100], i % 100);
        let plan = plans[i % plans.len()];
        csv.push_str(&format!(
            "Person{i},Sample,{phone},Springfield,{plan},2027-01-{:02}\n",
            i % 28 + 1
        ));
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Timestamp, phone::Region},
        import::{ListReader, ListSettings, Row},
    };

    #[test]
    fn every_list_has_as_many_callable_people_as_asked_for() {
        for n in [1, 120, 300, 4000] {
            let csv = list(n).unwrap();
            let settings = ListSettings::new(Region::US, Timestamp::UNIX_EPOCH);
            let reader = ListReader::open(csv.as_bytes(), &settings).unwrap();
            let accepted = reader
                .filter(|row| matches!(row, Ok(Row::Accepted { .. })))
                .count();
            assert_eq!(accepted, n);
        }
        assert!(list(0).is_err() && list(4001).is_err());
    }
}
