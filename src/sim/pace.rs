//! How fast simulated people live.
//!
//! Ringing, talking and hesitating are shortened by the speed; audio frames never are, because
//! both sides of a call count them in real time.

use std::time::Duration;

/// The speed of people: 1 is real time, 20 makes a minute of ringing last three seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    speed: f64,
}

impl Pace {
    /// A pace `speed` times faster than life; anything but a positive number means real time.
    pub fn new(speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 {
            speed
        } else {
            1.0
        };
        Self { speed }
    }

    /// `lifelike` at this pace.
    pub fn shorten(self, lifelike: Duration) -> Duration {
        lifelike.div_f64(self.speed)
    }

    /// `lifelike` at this pace, but no shorter than `floor` (nor longer than in life).
    ///
    /// Whatever the other side must notice on the audio path needs such a floor.
    pub fn shorten_to(self, lifelike: Duration, floor: Duration) -> Duration {
        self.shorten(lifelike).max(floor.min(lifelike))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_keeps_short_times_noticeable_but_never_lengthens_them() {
        let pace = Pace::new(20.0);
        let floor = Duration::from_millis(200);
        assert_eq!(
            pace.shorten_to(Duration::from_secs(8), floor),
            Duration::from_millis(400)
        );
        assert_eq!(pace.shorten_to(Duration::from_secs(2), floor), floor);
        let brief = Duration::from_millis(50);
        assert_eq!(pace.shorten_to(brief, floor), brief);
    }
}
