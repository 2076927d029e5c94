//! How is the next piece made, and the last one put away, while the present one is computed?
//!
//! `ahead`: a thread takes pieces from an iterator and puts them into a queue of a few; the caller's thread takes them
//! out in their order. `behind`: the caller's thread puts pieces into a queue, and a thread takes them out. What a piece
//! holds must not depend on when it was made, so that the results are those of a plain loop.

use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The pieces in their order; after an error there are no more.
pub(crate) struct Ahead<T> {
    receiver: Receiver<Result<T>>,
    waited: Duration,
}

impl<T> Ahead<T> {
    /// How long the caller had nothing to do because the next piece was not ready.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let before = Instant::now();
        let piece = self.receiver.recv().ok();
        self.waited += before.elapsed();
        piece
    }
}

/// Makes `pieces` on a thread of its own, at most `depth` more than were taken, and gives them to `work`.
///
/// When `work` returns, for whatever reason, the thread ends with the piece it is at, and this function waits for that.
///
/// # Errors
/// Those of `work`; that of a piece reaches it in the piece's place, and a panic of the iterator as
/// [`Error::Internal`].
pub(crate) fn ahead<T: Send, R>(
    depth: usize,
    pieces: impl Iterator<Item = Result<T>> + Send,
    work: impl FnOnce(&mut Ahead<T>) -> Result<R>,
) -> Result<R> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(depth);
        Builder::new()
            .name("ahead".into())
            .spawn_scoped(scope, move || produce(pieces, &sender))
            .map_err(Error::io("start", "a thread"))?;
        // Dropped at the end of this closure, before the scope waits: that tells the thread to end.
        let mut ahead = Ahead { receiver, waited: Duration::ZERO };
        work(&mut ahead)
    })
}

fn produce<T>(pieces: impl Iterator<Item = Result<T>>, sender: &SyncSender<Result<T>>) {
    let all = catch_unwind(AssertUnwindSafe(|| {
        for piece in pieces {
            let is_last = piece.is_err();
            // Where nobody receives any more, nothing more is wanted.
            if sender.send(piece).is_err() || is_last {
                return;
            }
        }
    }));
    if let Err(panic) = all {
        let _ = sender.send(Err(Error::of_panic(panic.as_ref())));
    }
}

/// Where the caller's thread puts pieces.
pub(crate) struct Behind<T> {
    sender: SyncSender<T>,
    waited: Duration,
}

impl<T> Behind<T> {
    /// Puts a piece into the queue, as soon as there is a place.
    ///
    /// # Errors
    /// [`Error::Cancelled`] where the other thread has ended; [`behind`] then gives the reason.
    pub(crate) fn send(&mut self, piece: T) -> Result<()> {
        let before = Instant::now();
        let sent = self.sender.send(piece);
        self.waited += before.elapsed();
        sent.map_err(|_| Error::Cancelled)
    }

    /// How long the caller had to wait for a place in the queue.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

/// Calls `work` with a queue of `depth` places whose pieces `take` takes out on a thread of its own, and waits until
/// `take` has ended; where it finds the queue closed, no more pieces will come.
///
/// # Errors
/// That of `take` where it is more than a stop, for it ends the work as well; else that of `work`. A panic of `take` is
/// an [`Error::Internal`].
pub(crate) fn behind<T: Send, R, S: Send>(
    depth: usize,
    take: impl FnOnce(&Receiver<T>) -> Result<S> + Send,
    work: impl FnOnce(&mut Behind<T>) -> Result<R>,
) -> Result<(R, S)> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(depth);
        let thread = Builder::new()
            .name("behind".into())
            .spawn_scoped(scope, move || take(&receiver))
            .map_err(Error::io("start", "a thread"))?;
        let mut behind = Behind { sender, waited: Duration::ZERO };
        let worked = work(&mut behind);
        drop(behind);
        let taken = thread.join().unwrap_or_else(|panic| Err(Error::of_panic(panic.as_ref())));
        match (worked, taken) {
            (Ok(worked), Ok(taken)) => Ok((worked, taken)),
            (Err(error), Ok(_) | Err(Error::Cancelled)) | (_, Err(error)) => Err(error),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn pieces_come_in_order_and_all_of_them() {
        for depth in [0, 1, 3] {
            let squares = ahead(depth, (0..100).map(|n| Ok(n * n)), |pieces| pieces.collect());
            let squares: Vec<i32> = squares.unwrap();
            assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_than_the_depth_is_made_ahead() {
        let made = AtomicUsize::new(0);
        let pieces = (0..100).map(|n| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        });
        ahead(2, pieces, |pieces| {
            for taken in 1..=20 {
                pieces.next().unwrap()?;
                std::thread::sleep(Duration::from_millis(1));
                // Two in the queue, and one that waits for a place in it.
                assert!(made.load(Ordering::SeqCst) <= taken + 3);
            }
            Ok(())
        })
        .unwrap();
        assert!(made.load(Ordering::SeqCst) <= 23, "the thread went on after the work ended");
    }

    #[test]
    fn an_error_comes_in_its_place_and_ends_the_pieces() {
        let pieces = (0..9).map(|n| if n == 4 { Err(Error::Cancelled) } else { Ok(n) });
        let mut seen = Vec::new();
        let result: Result<()> = ahead(3, pieces, |pieces| {
            for piece in pieces {
                seen.push(piece?);
            }
            Ok(())
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn a_panic_of_the_thread_is_an_error() {
        let pieces = (0..9).map(|n| if n == 4 { panic!("row {n} is odd") } else { Ok(n) });
        let result: Result<Vec<i32>> = ahead(1, pieces, |pieces| pieces.collect());
        assert_eq!(result.unwrap_err().to_string(), "internal error: row 4 is odd");
    }

    #[test]
    fn leaving_early_leaves_no_thread_behind() {
        struct Flag<'a>(&'a AtomicUsize);
        impl Drop for Flag<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let ended = AtomicUsize::new(0);
        let flag = Flag(&ended);
        let pieces = (0..).map(move |n| {
            let _ = &flag;
            Ok(n)
        });
        let stopped: Result<()> = ahead(2, pieces, |pieces| {
            pieces.next().unwrap()?;
            Err(Error::Cancelled)
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn waiting_is_measured() {
        let slow = (0..3).map(|n| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(n)
        });
        let waited = ahead(1, slow, |pieces| {
            while pieces.next().is_some() {}
            Ok(pieces.waited())
        });
        assert!(waited.unwrap() >= Duration::from_millis(50));
    }

    #[test]
    fn pieces_are_taken_in_order_and_all_of_them() {
        let take = |pieces: &Receiver<i32>| Ok(pieces.iter().collect::<Vec<_>>());
        let (sent, taken) = behind(2, take, |queue| {
            (0..50).try_for_each(|n| queue.send(n))?;
            Ok("all")
        })
        .unwrap();
        assert_eq!((sent, taken), ("all", (0..50).collect()));
    }

    #[test]
    fn the_error_of_the_thread_behind_is_the_one_told() {
        let broken = |pieces: &Receiver<i32>| {
            let _ = pieces.recv();
            Err::<(), _>(Error::data("a.csv", "is full", ""))
        };
        let endless = |queue: &mut Behind<i32>| -> Result<()> { (0..).try_for_each(|n| queue.send(n)) };
        assert_eq!(behind(1, broken, endless).unwrap_err().to_string(), "a.csv: is full");
        let panics = |pieces: &Receiver<i32>| -> Result<()> { panic!("{} is odd", pieces.recv().unwrap()) };
        assert_eq!(behind(1, panics, endless).unwrap_err().to_string(), "internal error: 0 is odd");
        let stopped = |pieces: &Receiver<i32>| pieces.recv().map_err(|_| Error::Cancelled);
        let fails = |_: &mut Behind<i32>| Err::<(), _>(Error::data("b.csv", "is odd", ""));
        assert_eq!(behind(1, stopped, fails).unwrap_err().to_string(), "b.csv: is odd");
    }
}
