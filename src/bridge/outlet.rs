//! A bounded channel's sender with a queue before it, so that a full channel never stops the loop
//! that fills it.

use std::collections::VecDeque;

use tokio::sync::mpsc;

/// Items on their way into a channel, in order.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    target: Target<T>,
    waiting: VecDeque<T>,
}

#[derive(Debug)]
enum Target<T> {
    /// There is no channel yet; items wait for it.
    NotYet,
    Open(mpsc::Sender<T>),
    /// Nobody reads any more; items are let go.
    Gone,
}

/// Nobody reads the channel any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

impl<T> Outlet<T> {
    /// A queue whose channel comes later.
    pub fn not_yet() -> Self {
        Self {
            target: Target::NotYet,
            waiting: VecDeque::new(),
        }
    }

    /// A queue before `sender`.
    pub fn to(sender: mpsc::Sender<T>) -> Self {
        Self {
            target: Target::Open(sender),
            waiting: VecDeque::new(),
        }
    }

    /// Names the channel; what waits follows as [`Self::forward`] is polled.
    pub fn connect(&mut self, sender: mpsc::Sender<T>) {
        self.target = Target::Open(sender);
    }

    /// Lets go of the channel and of what waits.
    pub fn disconnect(&mut self) {
        self.target = Target::Gone;
        self.waiting.clear();
    }

    /// Sends at once where nothing waits and the channel has room; else the item waits.
    pub fn push(&mut self, item: T) {
        match &self.target {
            Target::Gone => {}
            Target::Open(sender) if self.waiting.is_empty() => {
                if let Err(
                    mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item),
                ) = sender.try_send(item)
                {
                    self.waiting.push_back(item);
                }
            }
            Target::Open(_) | Target::NotYet => self.waiting.push_back(item),
        }
    }

    /// Drops the oldest waiting items beyond `limit`. Returns how many.
    pub fn shorten(&mut self, limit: usize) -> u64 {
        let n_excess = self.waiting.len().saturating_sub(limit);
        self.waiting.drain(..n_excess);
        n_excess as u64
    }

    /// Drops waiting items that are not wanted any more.
    pub fn retain(&mut self, is_wanted: impl FnMut(&T) -> bool) {
        self.waiting.retain(is_wanted);
    }

    /// How many items wait.
    pub fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Moves one waiting item into the channel as soon as there is room; waits for ever while there
    /// is nothing to move. May be dropped at any time without losing an item.
    pub async fn forward(&mut self) -> Result<(), Gone> {
        let Target::Open(sender) = &self.target else {
            return std::future::pending().await;
        };
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let permit = sender.reserve().await.map_err(|_| Gone)?;
        if let Some(item) = self.waiting.pop_front() {
            permit.send(item);
        }
        Ok(())
    }

    /// Moves all waiting items into the channel.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        while matches!(self.target, Target::Open(_)) && !self.waiting.is_empty() {
            self.forward().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn items_keep_their_order_and_wait_for_the_channel() {
        let mut outlet = Outlet::not_yet();
        for item in 1..=4 {
            outlet.push(item);
        }
        assert_eq!(outlet.shorten(3), 1);
        let (sender, mut receiver) = mpsc::channel(1);
        outlet.connect(sender);
        outlet.push(5);
        for expected in 2..=5 {
            assert_eq!(outlet.forward().await, Ok(()));
            assert_eq!(receiver.recv().await, Some(expected));
        }
        outlet.push(6);
        assert_eq!((outlet.n_waiting(), receiver.recv().await), (0, Some(6)));
    }

    #[tokio::test]
    async fn a_closed_channel_is_noticed() {
        let (sender, receiver) = mpsc::channel(1);
        let mut outlet = Outlet::to(sender);
        drop(receiver);
        outlet.push(1);
        assert_eq!(outlet.flush().await, Err(Gone));
        outlet.disconnect();
        outlet.push(2);
        assert_eq!(outlet.n_waiting(), 0);
    }
}
