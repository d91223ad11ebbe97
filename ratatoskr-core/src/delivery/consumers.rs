//! The consumers of a group that hold records, by number, and how many records are in flight in all.

use std::collections::HashMap;

use super::ConsumerId;

#[derive(Clone, Debug, Default)]
pub(crate) struct Consumers {
    numbers: HashMap<ConsumerId, u32>,
    slots: Vec<Option<Consumer>>,
    free: Vec<u32>,
    held: u64,
    dying: u64,
}

#[derive(Clone, Debug)]
struct Consumer {
    id: ConsumerId,
    held: u64,
}

impl Consumers {
    /// Records that all consumers hold, and those on their way to the dead letters.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.held + self.dying
    }

    /// So many records are on their way to the dead letters.
    pub(crate) const fn add_dying(&mut self, records: u64) {
        self.dying += records;
    }

    /// So many records have arrived there, or are forgotten.
    pub(crate) const fn remove_dying(&mut self, records: u64) {
        self.dying = self.dying.saturating_sub(records);
    }

    /// Records that a consumer holds.
    pub(crate) fn held_by(&self, id: &ConsumerId) -> u64 {
        let consumer = self.number(id).and_then(|number| self.slot(number));
        consumer.map_or(0, |consumer| consumer.held)
    }

    /// The number of a consumer that holds records.
    pub(crate) fn number(&self, id: &ConsumerId) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// Who has this number.
    pub(crate) fn id(&self, number: u32) -> Option<&ConsumerId> {
        self.slot(number).map(|consumer| &consumer.id)
    }

    fn slot(&self, number: u32) -> Option<&Consumer> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// A consumer acquires its first or further records: answers its number.
    pub(crate) fn add(&mut self, id: &ConsumerId, records: u64) -> u32 {
        self.held += records;
        if let Some(number) = self.number(id) {
            if let Some(Some(consumer)) = self.slots.get_mut(number as usize) {
                consumer.held += records;
            }
            return number;
        }
        let consumer = Consumer {
            id: id.clone(),
            held: records,
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(consumer);
        }
        self.numbers.insert(id.clone(), number);
        number
    }

    /// A consumer holds so many records less. Without any it is forgotten.
    pub(crate) fn remove(&mut self, number: u32, records: u64) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let Some(consumer) = slot else {
            return;
        };
        self.held -= records.min(consumer.held);
        consumer.held = consumer.held.saturating_sub(records);
        if consumer.held == 0 {
            self.numbers.remove(&consumer.id);
            *slot = None;
            self.free.push(number);
        }
    }

    /// Every consumer that holds records, in the order of their names.
    pub(crate) fn list(&self) -> Vec<(ConsumerId, u64)> {
        let consumers = self.slots.iter().flatten();
        let mut list: Vec<_> = consumers
            .map(|consumer| (consumer.id.clone(), consumer.held))
            .collect();
        list.sort_unstable();
        list
    }
}
