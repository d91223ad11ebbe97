//! Frames on their way out, as slices for a vectored write.
//!
//! Small pieces are gathered in one buffer; batches are kept as the slices they came in and never
//! looked at, since they may be of a memory map.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub struct FrameQueue {
    /// Whole pieces; they come before `tail`.
    sealed: VecDeque<Bytes>,
    tail: BytesMut,
    sealed_bytes: usize,
}

impl FrameQueue {
    /// Where the next frame, up to the end of its body, is to be appended.
    pub const fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends a slice as it is.
    pub fn push(&mut self, slice: Bytes) {
        self.seal();
        self.sealed_bytes += slice.len();
        self.sealed.push_back(slice);
    }

    /// Moves all that `other` has behind what is here.
    pub fn append(&mut self, other: &mut Self) {
        self.seal();
        other.seal();
        self.sealed_bytes += std::mem::take(&mut other.sealed_bytes);
        self.sealed.append(&mut other.sealed);
    }

    /// Bytes not yet sent.
    pub fn len(&self) -> usize {
        self.sealed_bytes + self.tail.len()
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` with what is to be sent next, up to so many bytes; returns how many were filled.
    pub fn fill<'a>(&'a mut self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        self.seal();
        let mut filled = 0;
        let mut room = bytes_max;
        for (slice, piece) in slices.iter_mut().zip(&self.sealed) {
            if room == 0 {
                break;
            }
            let taken = piece.len().min(room);
            *slice = IoSlice::new(&piece[..taken]);
            room -= taken;
            filled += 1;
        }
        filled
    }

    /// Takes away what has been sent.
    pub fn advance(&mut self, mut sent: usize) {
        self.seal();
        while let Some(front) = self.sealed.front_mut() {
            if sent < front.len() {
                front.advance(sent);
                self.sealed_bytes -= sent;
                return;
            }
            sent -= front.len();
            self.sealed_bytes -= front.len();
            self.sealed.pop_front();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.sealed_bytes += tail.len();
            self.sealed.push_back(tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_leave_in_order_however_they_are_sent() {
        let whole = b"head one, batches, head two";
        for step in 1..=whole.len() {
            let mut queue = FrameQueue::default();
            queue.tail().extend_from_slice(b"head one, ");
            queue.push(Bytes::from_static(b"batches, "));
            let mut later = FrameQueue::default();
            later.tail().extend_from_slice(b"head two");
            queue.append(&mut later);
            assert!(later.is_empty());
            assert_eq!(queue.len(), whole.len());
            let mut sent = Vec::new();
            while !queue.is_empty() {
                let mut slices = [IoSlice::new(&[]); 2];
                let filled = queue.fill(&mut slices, 12);
                assert!(
                    slices[..filled]
                        .iter()
                        .map(|slice| slice.len())
                        .sum::<usize>()
                        <= 12
                );
                let slices = slices[..filled].iter();
                let bytes: Vec<u8> = slices.flat_map(|slice| slice.to_vec()).collect();
                let taken = step.min(bytes.len());
                sent.extend_from_slice(&bytes[..taken]);
                queue.advance(taken);
            }
            assert_eq!(sent, whole);
        }
    }
}
