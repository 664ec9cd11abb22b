//! `iddio-kube`: the Kubernetes gateway of a host. `docs/kube.md` says how it is set up.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use iddio_kube::{config::Config, serve::Gateway};
use iddio_runtime::{assemble::Runtime, home::Home};
use iddio_serve::{
    certificate::Certificate, listen, logs, notify, penalties::Limits, shared::Shared,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iddio-kube: {error:#}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn run() -> Result<()> {
    let config = Config::read(&path(std::env::args_os().skip(1))?)?;
    let named = std::env::var_os("IDDIO_HOME");
    let home = Home::open(named.as_deref())?.context("there is no home: run `iddio init`")?;
    let runtime = Arc::new(Runtime::open(home)?);
    logs::start(config.log);
    let traces = config.traces.as_ref();
    let (shared, exporter) =
        Shared::new("iddio-kube", VERSION, runtime.clone(), Limits::GATEWAY, traces)?;
    let gateway = Gateway::new(runtime.clone(), &config, shared.clone())?;
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .build()?;
    threads.block_on(async {
        let listener = listen::clients(config.listen).await?;
        let certificate = Certificate::of(gateway.front().source()).map_err(anyhow::Error::msg)?;
        let attending =
            shared.attend(Some(certificate), config.operations.as_ref(), exporter).await?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            notify::stopping();
        };
        tracing::info!("listening on {}", listener.local_addr()?);
        notify::ready("serving");
        gateway.run(listener, stop).await;
        attending.end().await;
        anyhow::Ok(())
    })?;
    drop(threads);
    runtime.finish()?;
    Ok(())
}

/// Returns the configuration's place: `--config FILE`, or the usual one.
fn path(mut words: impl Iterator<Item = OsString>) -> Result<PathBuf> {
    match (words.next(), words.next(), words.next()) {
        (None, _, _) => Ok(PathBuf::from(CONFIGURATION)),
        (Some(flag), Some(path), None) if flag == "--config" => Ok(PathBuf::from(path)),
        _ => bail!("usage: iddio-kube [--config FILE]"),
    }
}

/// Where the configuration lies unless somebody says otherwise.
const CONFIGURATION: &str = "/etc/iddio/kube.toml";

/// The most threads that wait for a disk or a human: one for each undecided request.
const THREADS_MAX: usize = 512;

/// The version people see; a release names itself.
const VERSION: &str = match option_env!("IDDIO_CALVER") {
    Some(version) => version,
    None => "dev",
};

/// The exit code of a service that cannot serve.
const UNAVAILABLE: u8 = 69;
