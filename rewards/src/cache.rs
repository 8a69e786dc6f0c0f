//! What is known of a text, kept for the next time: bounded, shared between threads, with its hit rate as a metric.
//!
//! References are scored many times and analysed once by it, sentences that recur are read once. Knows nothing of what
//! it keeps.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync};

use crate::{Error, Result};

/// What is known of longer texts is not kept, so that few texts cannot fill the memory.
const LONGEST_TEXT: usize = 32 << 10;

/// A longer text takes the place of several. What is known of a text grows with it, and nearly all reports are shorter.
const PAGE: usize = 1 << 10;

/// How many places a text takes: one for each of its begun [`PAGE`]s.
#[derive(Clone)]
struct Pages;

impl<T> Weighter<String, Arc<T>> for Pages {
    fn weight(&self, text: &String, _: &Arc<T>) -> u64 {
        text.len().div_ceil(PAGE).max(1) as u64
    }
}

/// How many lookups found their text, and how many did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheCounts {
    /// Lookups that found their text.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
}

/// Values by text; when it is full, those leave that were not asked for lately.
///
/// Counts `addendum_reward_cache_lookups_total{cache, outcome="hit"|"miss"}` and sets
/// `addendum_reward_cache_hit_ratio{cache}`, the share of hits since its creation.
pub struct Cache<T> {
    name: &'static str,
    entries: sync::Cache<String, Arc<T>, Pages>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<T> Cache<T> {
    /// For at most `capacity` texts of at most 1 KiB, fewer longer ones; 0 keeps nothing. `name` is its label in metrics.
    pub fn new(name: &'static str, capacity: usize) -> Self {
        // One shard, so that the bound is that of the whole; a lookup holds its lock for no longer than it takes.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            .shards(1)
            .build()
            .expect("both capacities are set");
        let entries = sync::Cache::with_options(options, Pages, DefaultHashBuilder::default(), Default::default());
        Self { name, entries, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The value of `text`, made by `make` if it is not known. Threads that ask at the same time may make it each: one
    /// that waited for another would never wake where `make` takes up further work of the same thread pool.
    ///
    /// # Errors
    /// Those of `make`; then nothing is kept.
    pub fn get(&self, text: &str, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(known) = self.find(text) {
            return Ok(known);
        }
        let value = Arc::new(make()?);
        self.keep(text, value.clone());
        Ok(value)
    }

    /// The values of some texts, in order; `make` gets those that are not known, each once.
    ///
    /// # Errors
    /// Those of `make`; then nothing new is kept.
    pub fn get_all(&self, texts: &[&str], make: impl FnOnce(&[&str]) -> Result<Vec<T>>) -> Result<Vec<Arc<T>>> {
        let mut values = BTreeMap::new();
        let mut unknown = Vec::new();
        for &text in texts {
            if let Entry::Vacant(place) = values.entry(text) {
                let known = self.find(text);
                if known.is_none() {
                    unknown.push(text);
                }
                place.insert(known);
            }
        }
        let made = make(&unknown)?;
        if made.len() != unknown.len() {
            return Err(Error::Count { component: self.name, expected: unknown.len(), got: made.len() });
        }
        for (text, value) in unknown.into_iter().zip(made) {
            let value = Arc::new(value);
            self.keep(text, value.clone());
            values.insert(text, Some(value));
        }
        // By now every text has its value.
        Ok(texts.iter().filter_map(|text| values.get(text).cloned().flatten()).collect())
    }

    /// The value of `text`, if it is known.
    pub fn find(&self, text: &str) -> Option<Arc<T>> {
        let known = self.entries.get(text);
        let (count, outcome) = if known.is_some() { (&self.hits, "hit") } else { (&self.misses, "miss") };
        count.fetch_add(1, Ordering::Relaxed);
        let CacheCounts { hits, misses } = self.counts();
        ::metrics::counter!("addendum_reward_cache_lookups_total", "cache" => self.name, "outcome" => outcome)
            .increment(1);
        ::metrics::gauge!("addendum_reward_cache_hit_ratio", "cache" => self.name)
            .set(hits as f64 / (hits + misses) as f64);
        known
    }

    /// Keeps a value, unless its text is too long.
    pub fn keep(&self, text: &str, value: Arc<T>) {
        if text.len() <= LONGEST_TEXT {
            self.entries.insert(text.to_owned(), value);
        }
    }

    /// Whether there is room for anything.
    pub fn keeps(&self) -> bool {
        self.entries.capacity() > 0
    }

    /// Since the cache was made.
    pub fn counts(&self) -> CacheCounts {
        CacheCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Texts that are known now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_leaves_and_failures_and_long_texts_are_not_kept() {
        let cache = Cache::new("test", 2);
        for text in ["a", "b", "a", "c", "a"] {
            assert_eq!(*cache.get(text, || Ok(text.to_owned())).unwrap(), text);
        }
        assert_eq!((cache.len(), cache.counts()), (2, CacheCounts { hits: 2, misses: 3 }));
        let failure = || Err(Error::Component { component: "test", reason: String::new() });
        assert!(cache.get("d", failure).is_err());
        assert!(cache.find("d").is_none());
        let long = "x".repeat(LONGEST_TEXT + 1);
        cache.keep(&long, Arc::new(String::new()));
        assert!(cache.find(&long).is_none() && cache.find("a").is_some());
    }

    #[test]
    fn each_unknown_text_is_made_once_and_all_keep_their_order() {
        let cache = Cache::new("test", 8);
        cache.keep("b", Arc::new("b".to_owned()));
        let copies = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let got = cache.get_all(&["a", "b", "a", "c"], |texts| {
            assert_eq!(texts, ["a", "c"]);
            Ok(copies(texts))
        });
        assert_eq!(got.unwrap().iter().map(|text| text.as_str()).collect::<Vec<_>>(), ["a", "b", "a", "c"]);
        assert!(cache.get_all(&["c", "a"], |texts| Ok(copies(texts))).is_ok());
        assert!(cache.get_all(&["d", "e"], |texts| Ok(copies(&texts[1..]))).is_err());
        assert!(cache.find("d").is_none() && cache.find("e").is_none());
    }

    #[test]
    fn long_texts_take_the_place_of_several() {
        let cache = Cache::new("test", 64);
        for text in 0..1000 {
            cache.keep(&format!("{text:020000}"), Arc::new(text));
            assert!(cache.len() * 20_000 <= 64 * PAGE, "{} of 20,000 bytes", cache.len());
        }
        assert!(!cache.is_empty());
        for text in 0..1000 {
            cache.keep(&text.to_string(), Arc::new(text));
            assert!(cache.len() <= 64);
        }
    }

    #[test]
    fn a_cache_for_one_text_keeps_the_last() {
        let cache = Cache::new("test", 1);
        for text in ["a", "b"] {
            cache.keep(text, Arc::new(()));
            assert!(cache.find(text).is_some() && cache.len() == 1, "{text}");
        }
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let cache = Cache::new("test", 0);
        cache.keep("a", Arc::new(1));
        assert!(cache.is_empty() && !cache.keeps());
    }
}
