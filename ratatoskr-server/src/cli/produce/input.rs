//! The reading half of `produce`: files or stdin, cut into records, on a thread of its own.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use ratatoskr_core::record::Record;
use tokio::sync::mpsc;

use crate::cli::{
    exit::{Exit, Failure, Outcome},
    format::{InputError, Reader, Shape},
};

/// Records handed over at a time, unless the input pauses earlier.
const CHUNK_RECORDS: usize = 1_000;
/// Bytes of input handed over at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that may wait between reading and sending.
const CHUNKS_WAITING: usize = 4;
/// Bytes asked of a file at a time.
const READ_BYTES: usize = 64 << 10;

/// Records that were read, and how many bytes of input they were.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
}

/// Files that are open and waiting to be read.
pub(super) struct Inputs {
    sources: Vec<(String, Box<dyn Read + Send>)>,
    /// How many bytes they hold, where that is known.
    pub(super) bytes: Option<u64>,
}

impl Inputs {
    /// Opens every file before anything is sent.
    ///
    /// # Errors
    /// [`Exit::NotFound`] for a file that is not there, [`Exit::Failure`] for one that cannot be
    /// opened.
    pub(super) fn open(files: &[PathBuf]) -> Outcome<Self> {
        let mut inputs = Self {
            sources: Vec::new(),
            bytes: Some(0),
        };
        let stdin = [PathBuf::from("-")];
        for path in if files.is_empty() { &stdin } else { files } {
            if path == Path::new("-") {
                inputs.bytes = None;
                inputs.sources.push(("stdin".into(), Box::new(io::stdin())));
                continue;
            }
            let name = path.display().to_string();
            let unreadable = |error: io::Error| {
                let exit = match error.kind() {
                    io::ErrorKind::NotFound => Exit::NotFound,
                    _ => Exit::Failure,
                };
                Failure::new(exit, format!("cannot read {}", path.display())).because(error)
            };
            let file = File::open(path).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            // The length of a pipe or a device says nothing about what comes out of it.
            let length = metadata.is_file().then_some(metadata.len());
            inputs.bytes = inputs.bytes.zip(length).map(|(sum, length)| sum + length);
            inputs.sources.push((name, Box::new(file)));
        }
        Ok(inputs)
    }

    /// Reads at most `count` records on a thread of its own. It ends with the input, with the first thing wrong in it, or
    /// when nobody receives any more; nobody waits for it, since it may be held by a terminal at
    /// which nobody types.
    pub(super) fn read(self, shape: Shape, count: u64) -> mpsc::Receiver<Outcome<Chunk>> {
        let (chunks, received) = mpsc::channel(CHUNKS_WAITING);
        std::thread::spawn(move || {
            let mut left = count;
            for (name, source) in self.sources {
                match read_one(source, &shape, &mut left, &chunks) {
                    Ok(Next::Source) => {}
                    Ok(Next::Nothing) => return,
                    Err(error) => {
                        let _ = chunks.blocking_send(Err(failure(&name, error)));
                        return;
                    }
                }
            }
        });
        received
    }
}

/// What follows one source.
enum Next {
    Source,
    Nothing,
}

fn read_one(
    source: Box<dyn Read + Send>,
    shape: &Shape,
    left: &mut u64,
    chunks: &mpsc::Sender<Outcome<Chunk>>,
) -> Result<Next, InputError> {
    let input = BufReader::with_capacity(READ_BYTES, source);
    let mut reader = Reader::new(input, shape.clone());
    let mut chunk = Chunk::default();
    let hand_over = |chunk: &mut Chunk| {
        let full = std::mem::take(chunk);
        full.records.is_empty() || chunks.blocking_send(Ok(full)).is_ok()
    };
    while *left > 0 {
        let next = reader.next();
        let Ok(Some((record, bytes))) = next else {
            // What was read before the end, or before something wrong, is still sent.
            let received = hand_over(&mut chunk);
            next?;
            return Ok(if received {
                Next::Source
            } else {
                Next::Nothing
            });
        };
        chunk.records.push(record);
        chunk.bytes += bytes;
        *left -= 1;
        let full = chunk.records.len() >= CHUNK_RECORDS || chunk.bytes >= CHUNK_BYTES;
        if (full || reader.would_wait()) && !hand_over(&mut chunk) {
            return Ok(Next::Nothing);
        }
    }
    hand_over(&mut chunk);
    Ok(Next::Nothing)
}

fn failure(name: &str, error: InputError) -> Failure {
    match error {
        InputError::Io(error) => {
            Failure::new(Exit::Failure, format!("cannot read {name}")).because(error)
        }
        error @ InputError::Record { .. } => Failure::usage(format!("{name}: {error}"))
            .next("ratatoskr produce --help, for how -f tells what a record is"),
    }
}
