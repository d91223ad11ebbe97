//! Records that are taken ahead, and acknowledged each by itself when it is due.

use std::{sync::Arc, vec};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{Stock, Worker};
use crate::load::{Begun, Sink, begun};

/// Batches that a consumer holds ahead, at most: one that is being acknowledged, one that waits, and
/// one that has come meanwhile.
pub const BATCHES_AHEAD: u64 = 3;

/// One consumer whose acknowledgements are the sends of [`drive`](crate::load::drive). What is ahead
/// must not be the last that there is: a send that finds nothing waits for ever.
#[derive(Debug)]
pub struct OneByOne<W: Worker> {
    worker: Arc<W>,
    ahead: mpsc::Receiver<Result<W::Handles, W::Error>>,
    ready: vec::IntoIter<W::Handles>,
    taking: JoinHandle<()>,
}

impl<W: Worker> OneByOne<W> {
    /// Begins to take `batch` records at a time.
    pub fn new(worker: W, stock: Arc<Stock>, batch: u32) -> Self {
        let worker = Arc::new(worker);
        let (sender, ahead) = mpsc::channel(1);
        let taking = tokio::spawn(take_ahead(Arc::clone(&worker), stock, batch, sender));
        Self {
            worker,
            ahead,
            ready: Vec::new().into_iter(),
            taking,
        }
    }

    /// Takes no more, and gives nothing back: what is held is held until its lease ends.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a request on its way.
    pub async fn stop(&mut self) {
        self.ahead.close();
        while self.ahead.recv().await.is_some() {}
        // It ends with what it is taking now.
        let _ = (&mut self.taking).await;
    }

    /// The next record's.
    async fn next(&mut self) -> Result<W::Handles, String> {
        loop {
            if let Some(handles) = self.ready.next() {
                return Ok(handles);
            }
            match self.ahead.recv().await {
                Some(Ok(handles)) => self.ready = W::one_by_one(handles).into_iter(),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("no more records are taken".to_owned()),
            }
        }
    }
}

impl<W: Worker> Drop for OneByOne<W> {
    fn drop(&mut self) {
        self.taking.abort();
    }
}

impl<W: Worker> Sink for OneByOne<W> {
    type Acknowledged = ();
    type Error = String;
    type Receipt = Begun<Result<(), String>>;

    async fn send(&mut self) -> Result<Self::Receipt, String> {
        let handles = self.next().await?;
        let acknowledging = self.worker.acknowledge(handles);
        let acknowledging = async { acknowledging.await.map_err(|error| error.to_string()) };
        Ok(begun(acknowledging).await)
    }

    /// What comes with a record is not told apart.
    fn bytes_per_send(&self) -> u64 {
        0
    }
}

/// Takes until nobody wants more, or it cannot.
async fn take_ahead<W: Worker>(
    worker: Arc<W>,
    stock: Arc<Stock>,
    batch: u32,
    ahead: mpsc::Sender<Result<W::Handles, W::Error>>,
) {
    loop {
        let taken = worker.take(batch).await;
        let failed = taken.is_err();
        let taken = match taken {
            Ok(taken) if taken.numbers.is_empty() => continue,
            taken => taken.map(|taken| {
                stock.take(&taken.numbers);
                taken.handles
            }),
        };
        if ahead.send(taken).await.is_err() || failed {
            return;
        }
    }
}
