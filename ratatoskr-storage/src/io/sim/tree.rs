//! Names: directories and what they hold, as they are now and as they were synced.
//!
//! A creation, renaming or removal is one [`Change`], which persists whole or not at all once it has
//! been synced through any directory it touches. Changes of the same name, or of the same file,
//! persist in their order; beyond that, any subset of them does.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Component, Path},
};

use super::{
    contents::Contents,
    crash::{Choices, Kind},
};
use crate::io::DirEntry;

/// A file or directory, whatever its name.
pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 0;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Dir(Dir),
}

#[derive(Clone, Debug)]
pub(super) struct FileNode {
    pub(super) contents: Contents,
    /// Names it has now: one, or none once it is removed.
    names: u32,
    /// Handles that are open.
    pub(super) opened: u32,
    /// Somebody mapped it, so nobody may change it.
    pub(super) mapped: bool,
}

#[derive(Clone, Debug, Default)]
struct Dir {
    now: BTreeMap<String, NodeId>,
    synced: BTreeMap<String, NodeId>,
}

/// One operation on names.
#[derive(Clone, Debug)]
struct Change {
    at: u64,
    node: NodeId,
    /// What each name is for after it.
    entries: Vec<(Place, Option<NodeId>)>,
    /// A sync of it failed: later ones do not try again.
    lost: bool,
}

/// A name in a directory.
type Place = (NodeId, String);

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(Dir::default()))]),
            next: ROOT + 1,
            unsynced: Vec::new(),
        }
    }

    /// How many things have changed since they were synced.
    pub(super) fn unsynced(&self) -> usize {
        let contents = |file: &FileNode| file.contents.unsynced();
        self.unsynced.len() + self.files().map(contents).sum::<usize>()
    }

    /// Bytes that files take on the disk; a removed one does as long as it is open.
    pub(super) fn space_bytes(&self) -> u64 {
        let alive = self.files().filter(|f| f.names > 0 || f.opened > 0);
        alive.map(|file| file.contents.space_bytes()).sum()
    }

    fn files(&self) -> impl Iterator<Item = &FileNode> {
        self.nodes.values().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        })
    }

    pub(super) fn file(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn dir(&self, id: NodeId) -> io::Result<&Dir> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        names(path)?.into_iter().try_fold(ROOT, |id, name| {
            let found = self.dir(id)?.now.get(name).copied();
            found.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.resolve(&names.iter().collect::<std::path::PathBuf>())?;
        self.dir(parent)?;
        Ok((parent, name.to_owned()))
    }

    fn at(&self, (dir, name): &Place) -> io::Result<Option<NodeId>> {
        Ok(self.dir(*dir)?.now.get(name).copied())
    }

    pub(super) fn create_file(
        &mut self,
        path: &Path,
        sector_bytes: u64,
        at: u64,
    ) -> io::Result<NodeId> {
        let place = self.place(path)?;
        if self.at(&place)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = FileNode::new(Contents::new(sector_bytes));
        Ok(self.add(Node::File(file), place, at))
    }

    /// Whether there was none.
    pub(super) fn create_dir(&mut self, path: &Path, at: u64) -> io::Result<()> {
        let place = self.place(path)?;
        match self.at(&place)? {
            Some(there) if self.dir(there).is_ok() => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.add(Node::Dir(Dir::default()), place, at);
                Ok(())
            }
        }
    }

    fn add(&mut self, node: Node, place: Place, at: u64) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.change(id, vec![(place, Some(id))], at);
        id
    }

    pub(super) fn remove_file(&mut self, path: &Path, at: u64) -> io::Result<()> {
        let place = self.place(path)?;
        let id = self.at(&place)?.ok_or(io::ErrorKind::NotFound)?;
        self.file(id)?.names -= 1;
        self.change(id, vec![(place, None)], at);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path, at: u64) -> io::Result<()> {
        let place = self.place(path)?;
        let id = self.at(&place)?.ok_or(io::ErrorKind::NotFound)?;
        if !self.dir(id)?.now.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(id, vec![(place, None)], at);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, at: u64) -> io::Result<()> {
        if to.starts_with(from) && to != from {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (from, to) = (self.place(from)?, self.place(to)?);
        let id = self.at(&from)?.ok_or(io::ErrorKind::NotFound)?;
        let replaced = self.at(&to)?;
        if replaced == Some(id) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            if self.dir(id).is_err() {
                self.file(replaced)?.names -= 1;
            } else if !self.dir(replaced)?.now.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
        }
        self.change(id, vec![(from, None), (to, Some(id))], at);
        Ok(())
    }

    fn change(&mut self, node: NodeId, entries: Vec<(Place, Option<NodeId>)>, at: u64) {
        for ((dir, name), value) in &entries {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(dir) {
                assign(&mut dir.now, name, *value);
            }
        }
        self.unsynced.push(Change {
            at,
            node,
            entries,
            lost: false,
        });
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.dir(self.resolve(path)?)?;
        let entries = dir.now.iter().map(|(name, &id)| DirEntry {
            name: name.clone(),
            is_dir: self.dir(id).is_ok(),
        });
        Ok(entries.collect())
    }

    /// Changes that touch this directory are on the disk, and those they follow from.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.resolve(path)?;
        self.dir(id)?;
        let kept = self.unsynced.iter().map(|c| c.touches(id) && !c.lost);
        let mut kept = with_what_they_follow_from(&self.unsynced, kept.collect()).into_iter();
        let nodes = &mut self.nodes;
        self.unsynced.retain(|change| {
            let is_kept = kept.next().unwrap_or(false);
            if is_kept {
                change.persist(nodes);
            }
            !is_kept
        });
        self.forget_the_unreachable();
        Ok(())
    }

    /// Changes that touch this directory are on the disk or not, and no later sync will tell.
    pub(super) fn fail_sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.resolve(path)?;
        for change in self.unsynced.iter_mut().filter(|c| c.touches(id)) {
            change.lost = true;
        }
        Ok(())
    }

    /// What a crash leaves.
    pub(super) fn crash(&self, choices: &mut Choices) -> Self {
        let kept = self.unsynced.iter().map(|change| {
            let versions = vec![(change.at, ())];
            choices.pick(Kind::Name, &versions).is_some()
        });
        let kept = with_what_they_follow_from(&self.unsynced, kept.collect());
        let mut nodes = self.nodes.clone();
        for (change, _) in self.unsynced.iter().zip(kept).filter(|(_, kept)| *kept) {
            change.persist(&mut nodes);
        }
        for node in nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.now = dir.synced.clone(),
                Node::File(file) => *file = FileNode::new(file.contents.crash(choices)),
            }
        }
        let mut left = Self {
            nodes,
            next: self.next,
            unsynced: Vec::new(),
        };
        left.forget_the_unreachable();
        left
    }

    /// Drops files that have no name, will have none after any crash, and are not open.
    fn forget_the_unreachable(&mut self) {
        let mut reached: HashSet<NodeId> = self.unsynced.iter().map(|change| change.node).collect();
        let mut left: Vec<NodeId> = reached.iter().copied().chain([ROOT]).collect();
        reached.insert(ROOT);
        while let Some(id) = left.pop() {
            if let Some(Node::Dir(dir)) = self.nodes.get(&id) {
                let held = dir.now.values().chain(dir.synced.values());
                left.extend(held.filter(|&&id| reached.insert(id)));
            }
        }
        self.nodes.retain(|id, node| {
            reached.contains(id) || matches!(node, Node::File(file) if file.opened > 0)
        });
    }
}

impl FileNode {
    const fn new(contents: Contents) -> Self {
        Self {
            contents,
            names: 1,
            opened: 0,
            mapped: false,
        }
    }
}

impl Change {
    fn touches(&self, dir: NodeId) -> bool {
        self.entries.iter().any(|((touched, _), _)| *touched == dir)
    }

    fn persist(&self, nodes: &mut BTreeMap<NodeId, Node>) {
        for ((dir, name), value) in &self.entries {
            if let Some(Node::Dir(dir)) = nodes.get_mut(dir) {
                assign(&mut dir.synced, name, *value);
            }
        }
    }
}

/// Adds to the changes that are kept those before them of the same name or the same file.
fn with_what_they_follow_from(changes: &[Change], mut kept: Vec<bool>) -> Vec<bool> {
    let mut nodes = HashSet::new();
    let mut places = HashSet::new();
    for (change, kept) in changes.iter().zip(&mut kept).rev() {
        let mut touched = change.entries.iter().map(|(place, _)| place);
        *kept |= nodes.contains(&change.node) || touched.any(|place| places.contains(place));
        if *kept {
            nodes.insert(change.node);
            places.extend(change.entries.iter().map(|(place, _)| place));
        }
    }
    kept
}

fn assign(entries: &mut BTreeMap<String, NodeId>, name: &str, value: Option<NodeId>) {
    match value {
        Some(id) => drop(entries.insert(name.to_owned(), id)),
        None => drop(entries.remove(name)),
    }
}

/// The names on the way from the root.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let names = path.components().filter_map(|component| match component {
        Component::RootDir | Component::CurDir => None,
        Component::Normal(name) => Some(name.to_str().ok_or(io::ErrorKind::InvalidInput)),
        Component::ParentDir | Component::Prefix(_) => Some(Err(io::ErrorKind::InvalidInput)),
    });
    Ok(names.collect::<Result<_, _>>()?)
}
