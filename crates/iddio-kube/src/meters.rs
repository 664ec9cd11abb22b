//! What is counted of this gateway. `docs/operations.md` names it all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use iddio_core::{
    audit::{AuditError, Outcome},
    pipeline::Committed,
    tier::Tier,
};
use iddio_serve::{
    metrics::{Counters, Gauge, Held, Histogram, Registry},
    penalties::{Penalties, Turned},
    trace::Tracer,
};

/// The meters of one gateway.
#[derive(Clone, Debug)]
pub struct Meters {
    requests: Counters,
    decisions: Histogram,
    flights: Gauge,
    cut: Counters,
    connections: Gauge,
    refused: Counters,
    overdue: Counters,
    handshakes: Counters,
    strangers: Counters,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It was allowed.
    Allow,
    /// It was refused.
    Deny,
    /// Nobody decided: it could not be recorded.
    Failed,
}

// === impl Meters ===

impl Meters {
    /// Names them all in `registry`, those of the listener's limits and of traces too.
    pub fn new(registry: &Registry, penalties: &Arc<Penalties>, tracer: &Tracer) -> Self {
        let verdicts = [Verdict::Allow, Verdict::Deny].into_iter();
        let mut labels: Vec<String> = verdicts
            .flat_map(|verdict| TIERS.map(|tier| (verdict, tier)))
            .map(|(verdict, tier)| {
                format!("verdict=\"{}\",tier=\"{}\"", verdict.word(), tier.number())
            })
            .collect();
        labels.push("verdict=\"failed\",tier=\"\"".to_owned());
        let away = ["reason=\"away\"", "reason=\"crowded\""];
        let cut = ["reason=\"frozen\"", "reason=\"revoked\"", "reason=\"time\""];
        let meters = Self {
            requests: registry.counters("iddio_requests_total", "Requests decided.", labels),
            decisions: registry.histogram("iddio_decision_seconds", "Until a recorded decision."),
            flights: registry.gauge("iddio_requests_in_flight", "Requests allowed and not ended."),
            cut: registry.counters("iddio_streams_cut_total", "Answers cut.", cut),
            connections: registry.gauge("iddio_connections", "Connections open."),
            refused: registry.counters(
                "iddio_connections_refused_total",
                "Connections closed at once.",
                away,
            ),
            overdue: registry.counters(
                "iddio_connections_overdue_total",
                "Connections cut because nobody was identified in time.",
                [""],
            ),
            handshakes: registry.counters("iddio_handshakes_failed_total", "TLS failed.", [""]),
            strangers: registry.counters("iddio_strangers_total", "Requests of nobody.", [""]),
        };
        let own = penalties.clone();
        let help = "Connections on which nobody was identified yet.";
        registry.measure("iddio_connections_unproven", help, move || own.unproven() as f64);
        let own = penalties.clone();
        registry.measure("iddio_sources_away", "Sources turned away now.", move || {
            own.away(Instant::now()) as f64
        });
        let own = tracer.clone();
        registry.total("iddio_spans_sent_total", "Spans sent.", move || own.counts().0 as f64);
        let own = tracer.clone();
        registry
            .total("iddio_spans_dropped_total", "Spans dropped.", move || own.counts().1 as f64);
        meters
    }

    /// Counts what the pipeline said, and how long it took.
    pub fn settled<A>(&self, settled: &Result<Committed<A>, AuditError>, took: Duration) {
        let (verdict, record) = match settled {
            Err(_) => return self.decided(Verdict::Failed, Tier::Observe, took),
            Ok(Committed::Rejection(rejection)) => (Verdict::Deny, rejection.record()),
            Ok(Committed::Warrant(warrant)) => (Verdict::Allow, warrant.record()),
        };
        self.decided(verdict, record.decision.effective, took);
    }

    /// Counts a decision, and how long it took.
    pub fn decided(&self, verdict: Verdict, tier: Tier, took: Duration) {
        let index = usize::from(tier.number());
        self.requests.count(match verdict {
            Verdict::Allow => index,
            Verdict::Deny => TIERS.len() + index,
            Verdict::Failed => 2 * TIERS.len(),
        });
        self.decisions.observe(took);
    }

    /// Counts a request for as long as what is returned lives.
    pub fn flight(&self) -> Held {
        self.flights.hold()
    }

    /// Counts a connection for as long as what is returned lives.
    pub fn connection(&self) -> Held {
        self.connections.hold()
    }

    /// Counts an answer that was cut, with this outcome.
    pub fn cut(&self, outcome: Outcome) {
        self.cut.count(match outcome {
            Outcome::Frozen => 0,
            Outcome::TimedOut => 2,
            // What was forwarded and is cut was somebody's who is nobody now.
            _ => 1,
        });
    }

    /// Counts a connection that was closed at once.
    pub fn refused(&self, why: Turned) {
        self.refused.count(match why {
            Turned::Away => 0,
            Turned::Crowded => 1,
        });
    }

    /// Counts a connection on which nobody was identified in time.
    pub fn overdue(&self) {
        self.overdue.count(0);
    }

    /// Counts a handshake that failed.
    pub fn handshake(&self) {
        self.handshakes.count(0);
    }

    /// Counts a caller nobody knows.
    pub fn stranger(&self) {
        self.strangers.count(0);
    }
}

// === impl Verdict ===

impl Verdict {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Failed => "failed",
        }
    }
}

const TIERS: [Tier; 5] =
    [Tier::Observe, Tier::Operate, Tier::Modify, Tier::Sensitive, Tier::BreakGlass];

#[cfg(test)]
mod tests {
    use iddio_serve::penalties::Limits;

    use super::*;

    #[test]
    fn every_decision_is_counted_under_its_own_labels() {
        let registry = Registry::default();
        let penalties = Penalties::new(Limits::GATEWAY);
        let meters = Meters::new(&registry, &penalties, &Tracer::off());
        meters.decided(Verdict::Allow, Tier::Observe, Duration::ZERO);
        meters.decided(Verdict::Deny, Tier::BreakGlass, Duration::ZERO);
        meters.decided(Verdict::Failed, Tier::Observe, Duration::ZERO);
        meters.cut(Outcome::Forwarded);
        meters.refused(Turned::Crowded);
        let text = registry.text();
        for line in [
            "iddio_requests_total{verdict=\"allow\",tier=\"0\"} 1",
            "iddio_requests_total{verdict=\"allow\",tier=\"4\"} 0",
            "iddio_requests_total{verdict=\"deny\",tier=\"4\"} 1",
            "iddio_requests_total{verdict=\"failed\",tier=\"\"} 1",
            "iddio_streams_cut_total{reason=\"revoked\"} 1",
            "iddio_connections_refused_total{reason=\"crowded\"} 1",
            "iddio_decision_seconds_count 3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
