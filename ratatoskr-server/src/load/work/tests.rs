use std::{
    collections::VecDeque,
    num::NonZeroU64,
    sync::{Arc, Mutex},
};

use super::*;
use crate::load::{Pace, Plan, drive};

/// A queue that hands out what it was made with.
#[derive(Default)]
struct Shelf {
    records: Mutex<VecDeque<u64>>,
    refuses: bool,
}

impl Shelf {
    fn of(records: impl IntoIterator<Item = u64>) -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::new(records.into_iter().collect()),
            refuses: false,
        })
    }
}

impl Worker for Arc<Shelf> {
    type Handles = Vec<u64>;
    type Error = String;

    async fn take(&self, records_max: u32) -> Result<Taken<Vec<u64>>, String> {
        tokio::task::yield_now().await;
        let mut records = self.records.lock().unwrap();
        let count = records.len().min(records_max as usize);
        let handles: Vec<u64> = records.drain(..count).collect();
        Ok(Taken {
            numbers: handles.iter().map(|&number| number..number + 1).collect(),
            bytes: 10 * handles.len() as u64,
            handles,
        })
    }

    fn acknowledge(
        &self,
        _handles: Vec<u64>,
    ) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let refuses = self.refuses;
        async move {
            if refuses {
                Err("not yours".to_owned())
            } else {
                Ok(())
            }
        }
    }

    fn one_by_one(handles: Vec<u64>) -> Vec<Vec<u64>> {
        handles.into_iter().map(|handle| vec![handle]).collect()
    }
}

#[tokio::test]
async fn all_is_taken_and_acknowledged_by_those_who_share_it() {
    let stock = Stock::new(1_000);
    let shelf = Shelf::of(0..1_000);
    let (one, two) = tokio::join!(
        work_off(&shelf, &stock, 7, 2, |_| {}),
        work_off(&shelf, &stock, 7, 2, |_| {}),
    );
    let mut worked = one.unwrap();
    worked.add(&two.unwrap());
    assert_eq!((worked.taken, worked.acknowledged), (1_000, 1_000));
    assert_eq!(worked.bytes, 10_000);
    assert_eq!((stock.left(), stock.strays()), (0, 0));
    // One latency for each that was acknowledged together.
    assert!((143..=144).contains(&worked.latencies.count()));
}

#[tokio::test]
async fn a_record_that_is_handed_out_twice_or_that_there_is_none_of_is_found_out() {
    let stock = Stock::new(3);
    let shelf = Shelf::of([0, 1, 1, 3]);
    work_off(&shelf, &stock, 1, 1, |_| {}).await.unwrap();
    assert_eq!(stock.strays(), 1);
    let stock = Stock::new(3);
    work_off(&Shelf::of([0, 1, 3]), &stock, 3, 1, |_| {})
        .await
        .unwrap();
    assert_eq!(stock.strays(), 1);
}

#[tokio::test]
async fn what_is_refused_ends_the_work() {
    let stock = Stock::new(10);
    let shelf = Arc::new(Shelf {
        records: Mutex::new((0..10).collect()),
        refuses: true,
    });
    let ended = work_off(&shelf, &stock, 5, 1, |_| {}).await;
    assert_eq!(ended.unwrap_err(), "not yours");
}

#[tokio::test]
async fn in_an_open_loop_each_record_is_acknowledged_by_itself() {
    let stock = Arc::new(Stock::new(100));
    let mut sink = OneByOne::new(Shelf::of(0..100), Arc::clone(&stock), 8);
    let rate = NonZeroU64::new(100_000).unwrap();
    let plan = Plan::new(Pace::Open { rate }, 50);
    let tally = drive(&plan, &mut sink, |_| {}).await.unwrap();
    assert_eq!((tally.records, tally.failed), (50, 0));
    assert_eq!(tally.latencies.count(), 50);
    assert_eq!(stock.strays(), 0);
}
