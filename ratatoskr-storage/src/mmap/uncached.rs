//! Reading what is cold past the system's cache.
//!
//! A reader that catches up from far behind reads everything once. Through the page cache each page of
//! it would be found room for, filled, copied out and dropped again, by the processors that others
//! want, and what others read soon would be dropped for it. So large pieces of sealed segments go from
//! the disk straight into buffers that are used again and again. **What is read a second time goes
//! through the cache**: readers that follow each other, or come back, share it there.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ratatoskr_core::sync::Mutex;

use super::{
    segment::Segment,
    window::{WINDOW_BYTES_MAX, Window},
};
use crate::io::UNCACHED_ALIGN;

/// A smaller piece is read through the cache: its reader may want what lies around it next.
const UNCACHED_BYTES_MIN: usize = 128 << 10;
/// Bytes of a buffer; what does not fit is read through the cache.
const BUFFER_BYTES: usize = WINDOW_BYTES_MAX + (256 << 10);
/// Buffers kept for the next read.
const IDLE_BUFFERS_MAX: usize = 8;

/// Buffers to read into, shared by all logs of a storage.
#[derive(Debug, Default)]
pub(super) struct Uncached {
    idle: Arc<Idle>,
    /// The file system has said that it cannot do it.
    is_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Idle(Mutex<Vec<Vec<u8>>>);

/// A buffer that bytes were read into; it is given back when the last of them is dropped.
struct Filled {
    buffer: Vec<u8>,
    bytes: Range<usize>,
    idle: Arc<Idle>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(self.bytes.clone()).unwrap_or_default()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.idle.give_back(std::mem::take(&mut self.buffer));
    }
}

impl Uncached {
    /// The bytes of a window, if it is large, was never read before, and can be read like this.
    pub(super) fn read(&self, segment: &Segment, window: &Window) -> Option<Bytes> {
        let length = usize::try_from(window.end - window.start).ok()?;
        let skipped = usize::try_from(window.start % UNCACHED_ALIGN as u64).ok()?;
        let room = (skipped + length).next_multiple_of(UNCACHED_ALIGN);
        if length < UNCACHED_BYTES_MIN
            || room > BUFFER_BYTES
            || self.is_refused.load(Ordering::Relaxed)
            || !segment.begin_first_read(window.start..window.end)
        {
            return None;
        }
        let mut filled = Filled {
            buffer: self.idle.take(),
            bytes: 0..0,
            idle: Arc::clone(&self.idle),
        };
        let start = filled.buffer.as_ptr().align_offset(UNCACHED_ALIGN);
        let buffer = filled.buffer.get_mut(start..start.checked_add(room)?)?;
        match segment.read_uncached(buffer, window.start - skipped as u64) {
            Ok(read) if read >= skipped + length => {
                filled.bytes = start + skipped..start + skipped + length;
                Some(Bytes::from_owner(filled))
            }
            // Read through the cache, it gets the error that it should.
            Ok(_) => None,
            Err(error) => {
                if error.kind() == io::ErrorKind::Unsupported {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                None
            }
        }
    }
}

impl Idle {
    fn take(&self) -> Vec<u8> {
        let idle = self.0.lock().pop();
        idle.unwrap_or_else(|| vec![0; BUFFER_BYTES + UNCACHED_ALIGN])
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut idle = self.0.lock();
        if idle.len() < IDLE_BUFFERS_MAX {
            idle.push(buffer);
        }
    }
}
