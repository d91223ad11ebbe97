use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::*;

/// Answers a send when as many as it holds back have been made, and refuses every `refuses`th.
struct Held {
    at_once: usize,
    refuses: u64,
    sends: u64,
    most: usize,
    answers: VecDeque<oneshot::Sender<Result<(), String>>>,
}

impl Held {
    fn back(at_once: usize) -> Self {
        Self {
            at_once,
            refuses: u64::MAX,
            sends: 0,
            most: 0,
            answers: VecDeque::new(),
        }
    }
}

struct Answer(oneshot::Receiver<Result<(), String>>);

impl Future for Answer {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err("gone".into())))
    }
}

impl Sink for Held {
    type Acknowledged = ();
    type Error = String;
    type Receipt = Answer;

    async fn send(&mut self) -> Result<Answer, String> {
        self.sends += 1;
        if self.sends.is_multiple_of(self.refuses) {
            return Err("refused".into());
        }
        let (answer, receipt) = oneshot::channel();
        self.answers.push_back(answer);
        self.most = self.most.max(self.answers.len());
        if self.answers.len() >= self.at_once {
            for answer in self.answers.drain(..) {
                let _ = answer.send(Ok(()));
            }
        }
        Ok(Answer(receipt))
    }

    fn bytes_per_send(&self) -> u64 {
        10
    }
}

fn closed(in_flight: usize) -> Pace {
    Pace::Closed {
        in_flight: NonZeroUsize::new(in_flight).unwrap(),
    }
}

#[tokio::test]
async fn a_closed_loop_keeps_as_many_in_flight_as_it_is_told() {
    let mut sink = Held::back(8);
    let seen = Arc::new(AtomicU64::new(0));
    let progress = |records| {
        seen.fetch_add(records, Ordering::Relaxed);
    };
    let plan = Plan::new(closed(8), 64);
    let tally = drive(&plan, &mut sink, progress).await.unwrap();
    assert_eq!((tally.sent, tally.records, tally.bytes), (64, 64, 640));
    assert_eq!((tally.failed, tally.latencies.count()), (0, 64));
    assert_eq!(sink.most, 8);
    assert_eq!(seen.load(Ordering::Relaxed), 64);
}

#[tokio::test]
async fn sends_that_fail_are_counted_with_the_first_reason() {
    let mut sink = Held::back(1);
    sink.refuses = 4;
    let tally = drive(&Plan::new(closed(2), 12), &mut sink, drop)
        .await
        .unwrap();
    assert_eq!((tally.records, tally.failed), (9, 3));
    assert_eq!(tally.first_error.as_deref(), Some("refused"));
}

#[tokio::test]
async fn an_open_loop_counts_from_when_a_send_was_due() {
    let rate = NonZeroU64::new(100_000).unwrap();
    let mut plan = Plan::new(Pace::Open { rate }, 50);
    // As if the generator, or what it waits for, had stalled for a minute: all is due at once.
    plan.start = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
    let tally = drive(&plan, &mut Held::back(1), drop).await.unwrap();
    assert_eq!(tally.records, 50);
    let latency = tally.latencies.percentiles().unwrap();
    assert!(latency.p50 > 59e6, "{latency:?}");
    assert!(tally.lateness.percentiles().unwrap().max > 59e6);
}

#[tokio::test]
async fn an_open_loop_does_not_wait_for_answers() {
    let rate = NonZeroU64::new(1_000_000).unwrap();
    let plan = Plan::new(Pace::Open { rate }, 100);
    let mut sink = Held::back(100);
    let tally = drive(&plan, &mut sink, drop).await.unwrap();
    assert_eq!((tally.records, sink.most), (100, 100));
}

#[tokio::test]
async fn what_belongs_to_the_warm_up_is_sent_and_not_counted() {
    let rate = NonZeroU64::new(1_000).unwrap();
    let mut plan = Plan::new(Pace::Open { rate }, 10);
    plan.start = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    plan.warm_up = Duration::from_secs(1);
    let tally = drive(&plan, &mut Held::back(1), drop).await.unwrap();
    assert_eq!((tally.sent, tally.records), (1_010, 10));
    assert_eq!(tally.latencies.count(), 10);
}

#[tokio::test]
async fn it_ends_when_the_time_is_over_although_there_is_more_to_send() {
    let rate = NonZeroU64::new(1_000).unwrap();
    let mut plan = Plan::new(Pace::Open { rate }, u64::MAX);
    plan.start = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    plan.lasts = Some(Duration::from_millis(500));
    let tally = drive(&plan, &mut Held::back(1), drop).await.unwrap();
    assert_eq!(tally.records, 500);
}
