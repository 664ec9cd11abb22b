//! What a gateway says of itself: `iddio status`, and the metrics that every gateway has.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use iddio_core::freeze::{Freezer, Frozen};
use iddio_runtime::{
    assemble::Runtime,
    policy::InForce,
    status::{PolicyReport, Readiness, Report},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{certificate::Certificate, health::Health, metrics::Registry};

/// Everything that is asked when somebody asks.
pub struct Reporter {
    service: &'static str,
    version: &'static str,
    since: Instant,
    runtime: Arc<Runtime>,
    health: Arc<Health>,
    certificate: Option<Arc<Certificate>>,
    registry: Arc<Registry>,
}

// === impl Reporter ===

impl Reporter {
    /// Takes what there is to report on, and adds the metrics that every gateway has.
    pub fn new(
        service: &'static str,
        version: &'static str,
        runtime: Arc<Runtime>,
        health: Arc<Health>,
        certificate: Option<Arc<Certificate>>,
        registry: Arc<Registry>,
    ) -> Arc<Self> {
        let since = Instant::now();
        let own = Self { service, version, since, runtime, health, certificate, registry };
        own.register();
        Arc::new(own)
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> String {
        self.registry.text()
    }

    /// Says whether it takes requests.
    pub fn ready(&self) -> Readiness {
        self.health.ready()
    }

    /// Whether it answers itself.
    pub fn lives(&self) -> bool {
        self.health.lives()
    }

    /// Returns the whole report.
    pub fn report(&self) -> Report {
        let policy = self.runtime.policy().in_force();
        let fault = match &policy {
            InForce::Good(_) => None,
            InForce::None { reason, .. } => Some(reason.clone()),
        };
        Report {
            service: self.service.to_owned(),
            version: self.version.to_owned(),
            pid: std::process::id(),
            running_secs: self.since.elapsed().as_secs(),
            ready: self.health.ready(),
            policy: PolicyReport { version: policy.version().to_string(), fault },
            certificate: self.certificate.as_ref().map(|certificate| certificate.report()),
            log_head: self.runtime.records().head,
            freezes: freezes(&self.runtime),
            agents: self.runtime.agents_live().ok(),
            counts: self.registry.counts().into_iter().collect(),
        }
    }

    fn register(&self) {
        let registry = &self.registry;
        let version = format!("version=\"{}\"", self.version);
        registry.counters("iddio_build_info", "Which build this is; 1.", [version]).count(0);
        let runtime = || self.runtime.clone();
        let own = runtime();
        registry.total("iddio_records_total", "Records stored by this process.", move || {
            own.records().stored as f64
        });
        let own = runtime();
        registry.total(
            "iddio_records_failed_total",
            "Records that could not be stored.",
            move || own.records().failed as f64,
        );
        let own = runtime();
        registry.measure("iddio_log_head", "Number of the last record it stored.", move || {
            own.records().head as f64
        });
        let own = runtime();
        registry.measure("iddio_policy_in_force", "1 with a policy; 0 denies all.", move || {
            f64::from(u8::from(matches!(own.policy().in_force(), InForce::Good(_))))
        });
        let own = runtime();
        registry.measure("iddio_freezes", "Freezes in force; -1 if unreadable.", move || {
            freezes(&own).map_or(-1.0, |count| count as f64)
        });
        let own = runtime();
        registry.measure("iddio_agents", "Agents known; -1 if unreadable.", move || {
            own.agents_live().map_or(-1.0, |count| count as f64)
        });
        let health = self.health.clone();
        registry.measure("iddio_ready", "1 while it takes requests.", move || {
            f64::from(u8::from(health.ready() == Readiness::Ready))
        });
        if let Some(certificate) = self.certificate.clone() {
            let help = "When the certificate ends, seconds since 1970.";
            registry.measure("iddio_certificate_expiry_timestamp_seconds", help, move || {
                certificate.report().not_after.unwrap_or_default() as f64
            });
        }
        let since = self.since;
        registry.measure("iddio_uptime_seconds", "How long it has run.", move || {
            since.elapsed().as_secs_f64()
        });
        process(registry);
    }
}

/// The metrics of any process, under the names that everybody gives them.
fn process(registry: &Registry) {
    registry.total("process_cpu_seconds_total", "Processor time used.", || {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = Duration::try_from(used).unwrap_or_default();
        seconds.as_secs_f64()
    });
    registry.measure("process_resident_memory_bytes", "Memory in use.", || {
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
        pages * rustix::param::page_size() as f64
    });
    registry.measure("process_open_fds", "Descriptors in use.", || {
        fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count() as f64)
    });
}

fn freezes(runtime: &Runtime) -> Option<u64> {
    match runtime.freezes().look() {
        Frozen::These(freezes) => u64::try_from(freezes.len()).ok(),
        Frozen::Unknown { .. } => None,
    }
}
