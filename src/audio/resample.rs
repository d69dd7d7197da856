//! A telephone line's rate raised by a whole factor, and brought down again, with a low-pass filter
//! between: a windowed sinc that lets 3.3 kHz through and stops 4.1 kHz, 15 samples of the line late.

use std::f32::consts::PI;

/// How many samples of the line a filter reaches over.
const REACH: usize = 31;

/// Half of what is not zero of it: the delay, in samples of the line.
const DELAY: usize = 15;

/// Where the filter lets half through, as a share of the line's rate.
const EDGE: f32 = 3_700.0 / 8_000.0;

/// The filter at the higher rate, the newest sample's weight first; its weights add up to 1.
fn low_pass(factor: usize) -> Vec<f32> {
    let centre = (DELAY * factor) as f32;
    let edge = EDGE / factor as f32;
    let mut taps: Vec<f32> = (0..REACH * factor)
        .map(|n| {
            let from_centre = n as f32 - centre;
            if from_centre > centre {
                return 0.0;
            }
            let angle = 2.0 * PI * edge * from_centre;
            let sinc = if from_centre == 0.0 {
                1.0
            } else {
                angle.sin() / angle
            };
            let window = 0.54 + 0.46 * (PI * from_centre / centre).cos();
            sinc * window
        })
        .collect();
    let sum: f32 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

fn sum_of_products(samples: &[f32], taps: &[f32]) -> f32 {
    samples.iter().zip(taps).map(|(a, b)| a * b).sum()
}

/// From the line's rate to a multiple of it.
#[derive(Debug)]
pub(super) struct Raise {
    /// The filter's part for each sample between two of the line's, the oldest sample's weight first.
    phases: Vec<f32>,
    /// What the filter still reaches back to, and what came since.
    line: Vec<f32>,
}

impl Raise {
    pub fn by(factor: usize) -> Self {
        let phases = if factor == 1 {
            vec![1.0]
        } else {
            let taps = low_pass(factor);
            // Of the samples at the higher rate all but one in `factor` are zero.
            (0..factor)
                .flat_map(|phase| taps.iter().skip(phase).step_by(factor).rev())
                .map(|tap| tap * factor as f32)
                .collect()
        };
        let reach = reach_of(factor);
        Self {
            phases,
            line: vec![0.0; reach - 1],
        }
    }

    /// Takes the next samples and gives `factor` for each.
    pub fn push(&mut self, samples: impl Iterator<Item = f32>, mut put: impl FnMut(f32)) {
        let n_kept = self.line.len();
        self.line.extend(samples);
        for window in self.line.windows(n_kept + 1) {
            for phase in self.phases.chunks_exact(n_kept + 1) {
                put(sum_of_products(window, phase));
            }
        }
        self.line.drain(..self.line.len() - n_kept);
    }
}

/// From a multiple of the line's rate to the line's.
#[derive(Debug)]
pub(super) struct Lower {
    factor: usize,
    /// The oldest sample's weight first.
    taps: Vec<f32>,
    /// What the filter still reaches back to, and what came since.
    line: Vec<f32>,
}

impl Lower {
    pub fn by(factor: usize) -> Self {
        let taps = if factor == 1 {
            vec![1.0]
        } else {
            low_pass(factor).into_iter().rev().collect()
        };
        Self {
            factor,
            line: vec![0.0; taps.len() - 1],
            taps,
        }
    }

    /// Takes the next samples and gives one for each `factor` of them, from the first on.
    pub fn push(&mut self, samples: impl Iterator<Item = f32>, mut put: impl FnMut(f32)) {
        self.line.extend(samples);
        let mut at = 0;
        while let Some(window) = self.line.get(at..at + self.taps.len()) {
            put(sum_of_products(window, &self.taps));
            at += self.factor;
        }
        // The filter reaches over more than is passed over at once.
        self.line.drain(..at);
    }
}

fn reach_of(factor: usize) -> usize {
    if factor == 1 { 1 } else { REACH }
}
