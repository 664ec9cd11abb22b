//! Callers nobody knows, counted: before somebody is identified there is no record for each of them,
//! or whoever has no name could fill the log. Once a minute their numbers are one record.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use iddio_core::{
    audit::{AdminEvent, Field},
    text::RawText,
};

/// The counts since the last record.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    sources: BTreeMap<IpAddr, u64>,
    /// Those from sources beyond the limit.
    others: u64,
}

// === impl Strangers ===

impl Strangers {
    /// Counts one.
    pub(crate) fn count(&self, source: IpAddr) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counted.sources.len() < SOURCES_MAX;
        match counted.sources.get_mut(&source) {
            Some(count) => *count = count.saturating_add(1),
            None if room => {
                let _ = counted.sources.insert(source, 1);
            }
            None => counted.others = counted.others.saturating_add(1),
        }
    }

    /// Takes what was counted, as one event, if there was any.
    pub(crate) fn take(&self) -> Option<AdminEvent> {
        let taken = {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *counted)
        };
        let Counted { sources, others } = taken;
        let total = sources.values().fold(others, |total, count| total.saturating_add(*count));
        let said = sources.iter().map(|(source, count)| {
            Field::Text(RawText::from(format!("{source} {count}").as_str()))
        });
        (0 < total).then(|| AdminEvent {
            event: "kube.strangers",
            principal: None,
            fields: vec![
                ("requests", Field::Int(total.min(INT_MAX))),
                ("sources", Field::List(said.collect())),
            ],
        })
    }
}

/// The most sources that are told apart: a record has an end.
const SOURCES_MAX: usize = 64;

/// The greatest integer of a record.
const INT_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_summed_up_and_the_sum_is_bounded() {
        let strangers = Strangers::default();
        assert!(strangers.take().is_none());
        for last in 0..200 {
            strangers.count(IpAddr::from([127, 0, 0, last]));
            strangers.count(IpAddr::from([127, 0, 0, 1]));
        }
        let event = strangers.take().unwrap();
        let [(_, Field::Int(total)), (_, Field::List(sources))] = event.fields.as_slice() else {
            panic!("other fields");
        };
        assert_eq!((*total, sources.len()), (400, SOURCES_MAX));
        assert!(strangers.take().is_none());
    }
}
