//! Without crashes and faults, the simulation answers as the operating system does.

use proptest::prelude::*;

use super::*;
use crate::io::OsFileSystem;

const NAMES: [&str; 5] = ["a", "b", "d", "d/a", "d/e"];

#[derive(Clone, Debug)]
enum Call {
    Create(usize),
    CreateDir(usize),
    Rename(usize, usize),
    RemoveFile(usize),
    RemoveDir(usize),
    List(usize),
    Write(usize, Vec<u8>, u64),
    Read(usize, usize, u64),
    Allocate(usize, u64),
    SetLen(usize, u64),
    Map(usize, u64),
    Sync(usize),
}

fn calls() -> impl Strategy<Value = Call> {
    let name = || 0..NAMES.len();
    let bytes = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        4 => name().prop_map(Call::Create),
        1 => name().prop_map(Call::CreateDir),
        2 => (name(), name()).prop_map(|(from, to)| Call::Rename(from, to)),
        1 => name().prop_map(Call::RemoveFile),
        1 => name().prop_map(Call::RemoveDir),
        1 => name().prop_map(Call::List),
        6 => (name(), bytes, 0_u64..20).prop_map(|(f, bytes, at)| Call::Write(f, bytes, at)),
        4 => (name(), 0_usize..20, 0_u64..20).prop_map(|(f, len, at)| Call::Read(f, len, at)),
        1 => (name(), 0_u64..40).prop_map(|(f, size)| Call::Allocate(f, size)),
        2 => (name(), 0_u64..40).prop_map(|(f, size)| Call::SetLen(f, size)),
        1 => (name(), 0_u64..20).prop_map(|(f, size)| Call::Map(f, size)),
        1 => name().prop_map(Call::Sync),
    ]
}

/// What the call answers, as text; of errors only that they are errors, since systems differ in
/// which of several reasons they name.
fn answer(fs: &dyn FileSystem, root: &Path, call: &Call) -> String {
    let path = |name: &usize| root.join(NAMES[*name]);
    let open = |name: &usize| fs.open(&path(name), OpenMode::Write);
    let done = |()| String::new();
    let outcome = match call {
        Call::Create(name) => fs
            .open(&path(name), OpenMode::CreateNew)
            .map(|_| String::new()),
        Call::CreateDir(name) => fs.create_dir(&path(name)).map(done),
        Call::Rename(from, to) => fs.rename(&path(from), &path(to)).map(done),
        Call::RemoveFile(name) => fs.remove_file(&path(name)).map(done),
        Call::RemoveDir(name) => fs.remove_dir(&path(name)).map(done),
        Call::List(name) => fs.list_dir(&path(name)).map(|found| format!("{found:?}")),
        Call::Write(name, bytes, at) => open(name)
            .and_then(|file| file.write_all_at(&[bytes, bytes], *at))
            .map(done),
        Call::Read(name, length, at) => open(name).and_then(|file| {
            let mut buffer = vec![0; *length];
            file.read_exact_at(&mut buffer, *at)?;
            Ok(format!("{buffer:?}"))
        }),
        Call::Allocate(name, size) => open(name).and_then(|file| file.allocate(*size)).map(done),
        Call::SetLen(name, size) => open(name).and_then(|file| file.set_len(*size)).map(done),
        Call::Map(name, size) => open(name).and_then(|file| {
            // Of a copy under another name: the original may be changed later on.
            let mut bytes = vec![0; usize::try_from(file.size()?).unwrap()];
            file.read_exact_at(&mut bytes, 0)?;
            let copy = root.join("mapped");
            let sealed = fs.open(&copy, OpenMode::CreateNew)?;
            sealed.write_all_at(&[&bytes], 0)?;
            fs.remove_file(&copy)?;
            sealed.map(*size).map(|map| format!("{map:?}"))
        }),
        Call::Sync(name) => open(name)
            .and_then(|file| file.sync_data())
            .and_then(|()| fs.sync_dir(root))
            .map(done),
    };
    outcome.unwrap_or_else(|_: io::Error| "error".into())
}

proptest! {
    #[test]
    fn calls_have_the_same_answers(calls in prop::collection::vec(calls(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let sim = sim();
        for call in &calls {
            let system = answer(&OsFileSystem, dir.path(), call);
            let simulated = answer(&sim, Path::new("/"), call);
            prop_assert_eq!(simulated, system, "{:?}", call);
        }
    }
}
