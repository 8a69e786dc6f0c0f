//! Tells studies of a split from other entries, by all cores, in the order of the file.

use std::{collections::HashMap, mem, thread};

use super::{
    columns::Fields,
    cut::Raw,
    entries::Entries,
    paths::Images,
    row::{self, Row},
};
use crate::{
    dataset::Split,
    error::{BadRow, Problem},
};

/// Entries, and bytes of them, that are understood at a time.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 1 << 25;

/// What an entry is.
enum Kind {
    /// A study of the split, and its id.
    Study(Option<String>),
    Elsewhere,
    Bad(Vec<Problem>),
}

pub struct Lister<'a> {
    /// Whether the file holds all splits.
    all: bool,
    split: Split,
    images: &'a Images,
    /// The studies so far.
    pub entries: Entries,
    bad: Vec<BadRow>,
    /// Entries so far, those that wait not among them.
    seen: u32,
    waiting: Vec<Raw>,
    waiting_bytes: usize,
    /// Numbers of the studies by id.
    ids: HashMap<String, u32>,
}

impl<'a> Lister<'a> {
    pub fn new(entries: Entries, all: bool, split: Split, images: &'a Images) -> Self {
        let (bad, waiting, ids) = (Vec::new(), Vec::new(), HashMap::new());
        Self { all, split, images, entries, bad, seen: 0, waiting, waiting_bytes: 0, ids }
    }

    /// Takes the next entry of the file.
    pub fn take(&mut self, raw: Raw) {
        self.waiting_bytes += raw.bytes.len();
        self.waiting.push(raw);
        if self.waiting.len() == BATCH || self.waiting_bytes > BATCH_BYTES {
            self.tell_apart();
        }
    }

    /// Entries that were taken.
    pub fn taken(&self) -> u32 {
        self.seen.saturating_add(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX))
    }

    /// The studies, the bad rows, and how many entries there were.
    pub fn done(mut self) -> (Entries, Vec<BadRow>, u32) {
        self.tell_apart();
        (self.entries, self.bad, self.seen)
    }

    fn tell_apart(&mut self) {
        self.waiting_bytes = 0;
        let batch = &mem::take(&mut self.waiting);
        let kinds = self.kinds(batch);
        for (raw, kind) in batch.iter().zip(kinds) {
            let entry = self.seen;
            self.seen = entry.saturating_add(1);
            let kind = match kind {
                Kind::Study(id) => self.named(id.unwrap_or_else(|| entry.to_string()), entry),
                other => other,
            };
            match kind {
                Kind::Study(_) => self.entries.keep(raw, entry),
                Kind::Bad(problems) => {
                    self.bad.push(BadRow { place: self.entries.writing.place(raw.line, entry), problems });
                }
                Kind::Elsewhere => {}
            }
        }
    }

    /// Each entry by itself.
    fn kinds(&self, batch: &[Raw]) -> Vec<Kind> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = batch.len().div_ceil(workers).max(1);
        let of = |part: &[Raw]| part.iter().map(|raw| self.kind(raw)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let started: Vec<_> = batch.chunks(share).map(|part| scope.spawn(move || of(part))).collect();
            started
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn kind(&self, raw: &Raw) -> Kind {
        let record = match self.entries.writing.record(&raw.bytes) {
            Ok(record) => record,
            Err(problem) => return Kind::Bad(vec![problem]),
        };
        let fields = Fields::of(&record);
        match row::split(&fields) {
            Err(problem) => return Kind::Bad(vec![problem]),
            Ok(None) if self.all => {
                return Kind::Bad(vec![Problem::new("split", "missing; a file of all splits names it in every entry")]);
            }
            Ok(Some(named)) if named != self.split && self.all => return Kind::Elsewhere,
            Ok(Some(named)) if named != self.split => {
                let reason = format!("is {named} in a file of the {} split", self.split);
                return Kind::Bad(vec![Problem::new("split", reason)]);
            }
            Ok(_) => {}
        }
        match Row::read(&record, &fields) {
            Err(problems) => Kind::Bad(problems),
            Ok(row) => match row.missing(self.images) {
                none if none.is_empty() => Kind::Study(row.id),
                missing => Kind::Bad(missing),
            },
        }
    }

    /// A study whose id is its own.
    fn named(&mut self, id: String, entry: u32) -> Kind {
        if let Some(first) = self.ids.get(&id) {
            return Kind::Bad(vec![Problem::new("id", format!("`{id}` is already the id of entry {first}"))]);
        }
        self.ids.insert(id.clone(), entry);
        Kind::Study(Some(id))
    }
}
