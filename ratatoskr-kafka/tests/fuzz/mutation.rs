//! Requests made from those of the corpus: each with some changes that parsers trip over.

/// Key, version, correlation id: what changes rarely, for else hardly any request would be read on.
const HEADER_BYTES: usize = 8;
/// Changes of one request are at most so many.
const CHANGES_MAX: u32 = 6;
/// Bytes that are cut out, or repeated, at most.
const PIECE_BYTES_MAX: usize = 64;

/// Lengths, counts and numbers that have something about them, as they go over the wire.
const ODD: [&[u8]; 16] = [
    b"\0",
    b"\x01",
    b"\x7f",
    b"\xff",
    b"\0\0",
    b"\x7f\xff",
    b"\x80\0",
    b"\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\0\0\0\0\0\0\0",
];

/// The request of a seed. Seeds that follow one another go round all requests of the corpus.
pub(crate) fn request(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let count = corpus.len() as u64;
    let at = usize::try_from(seed % count).unwrap_or_default();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut request = corpus[at].clone();
    for _ in 0..random.u32(1..=CHANGES_MAX) {
        change(&mut request, corpus, &mut random);
    }
    request
}

fn change(request: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut fastrand::Rng) {
    let from = if random.u32(..20) == 0 {
        0
    } else {
        HEADER_BYTES
    };
    if request.len() <= from {
        return;
    }
    let at = random.usize(from..request.len());
    let piece = at..(at + random.usize(1..=PIECE_BYTES_MAX)).min(request.len());
    match random.u32(..8) {
        0 => request[at] ^= 1 << random.u32(..8),
        1 => request[at] = random.u8(..),
        2 | 3 => {
            let odd = ODD[random.usize(..ODD.len())];
            for (to, from) in request[at..].iter_mut().zip(odd) {
                *to = *from;
            }
        }
        4 => request.truncate(at),
        5 => drop(request.drain(piece)),
        6 => {
            let piece = request[piece].to_vec();
            request.splice(at..at, piece);
        }
        _ => {
            // The end of another request.
            let other = &corpus[random.usize(..corpus.len())];
            let end = other.get(random.usize(..other.len())..);
            request.truncate(at);
            request.extend_from_slice(end.unwrap_or_default());
        }
    }
}
