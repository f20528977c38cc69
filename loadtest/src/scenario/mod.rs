//! The scenarios, and the figures of each.

pub mod apart;
pub mod crowd;
pub mod fanout;
pub mod joins;
pub mod run;
pub mod stall;

use std::collections::BTreeMap;

use crate::{
    engine::Engine,
    figures,
    options::{Common, Options, What},
    report::Report,
    scenario::run::{Run, Stretch},
};

pub type Figures = BTreeMap<String, f64>;

/// Runs the command. `Ok(false)`: a message was lost or a condition failed.
pub fn perform(options: &Options) -> Result<bool, String> {
    let (common, report) = match &options.what {
        What::Fanout(fanout) => (&fanout.common, fanout::fanout(fanout)?),
        What::Rooms(rooms) => (&rooms.common, fanout::rooms(rooms)?),
        What::Idle(idle) => (&idle.common, crowd::idle(idle)?),
        What::Storm(storm) => (&storm.common, crowd::storm(storm)?),
        What::Churn(churn) => (&churn.common, crowd::churn(churn)?),
        What::Stall(stall) => (&stall.common, stall::stall(stall)?),
        What::Joins(joins) => (&joins.common, joins::joins(joins)?),
        What::Figures(options) => return figures::figures(options),
    };
    print!("{}", report.text());
    if let Some(path) = &common.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &common.html {
        std::fs::write(path, report.html()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.missed.is_empty())
}

/// Ends a run: computes its figures and faults, and checks the conditions.
///
/// `own` are the scenario's own figures, which count before the usual ones of the same name.
fn conclude(name: &str, common: &Common, run: &mut Run, stretch: Option<Stretch>, own: Figures) -> Report {
    let mut figures = own;
    let mut put = |name: &str, value: f64| {
        figures.entry(name.to_owned()).or_insert(value);
    };
    run.engine.close_interval();
    let ended = run.server_ended();
    let engine = &run.engine;
    let faults = engine.faults;
    let arrived = engine.conns().iter().filter(|conn| conn.arrival_ns.is_some()).count();
    put("members", arrived as f64);
    put("not_arrived", (engine.conns().len() - arrived) as f64);
    for (name, count) in [
        ("lost", run.lost(|_| true)),
        ("duplicated", faults.duplicated),
        ("reordered", faults.reordered),
        ("disagreed", faults.disagreed),
        ("torn", faults.torn),
        ("misnumbered", faults.misnumbered),
        ("ended", engine.counts.ended.values().sum()),
        ("refused", engine.counts.refused.values().sum()),
        ("sent", engine.counts.sent),
        ("delivered", engine.counts.delivered),
    ] {
        put(name, count as f64);
    }
    for (class, latency) in engine.latency.iter().enumerate() {
        let prefix = if class == 0 { "" } else { run.second_class };
        let total = &latency.total;
        if !total.is_empty() {
            for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
                let ms = total.value_at_quantile(quantile) as f64 / 1e6;
                put(&format!("{prefix}{name}_ms"), ms);
            }
        }
    }
    if let Some(stretch) = stretch {
        let per_second = |count: u64| count as f64 / stretch.seconds;
        put("seconds", stretch.seconds);
        put("talks_per_s", per_second(stretch.sent));
        put("deliveries_per_s", per_second(stretch.delivered));
        put("load_cores", per_second(stretch.own_cpu_ns) / 1e9);
        if let Some(cpu) = stretch.server_cpu_ns {
            put("server_cores", per_second(cpu) / 1e9);
            if stretch.delivered > 0 {
                put("cpu_us", cpu as f64 / 1e3 / stretch.delivered as f64);
            }
        }
    }
    if let Some(memory) = run.memory() {
        put("rss_mib", memory.rss as f64 / 1_048_576.0);
        put("anon_mib", memory.anon as f64 / 1_048_576.0);
        put("kernel_tcp_mib", memory.kernel_tcp as f64 / 1_048_576.0);
    }
    let mut must = vec![
        "lost=0",
        "duplicated=0",
        "reordered=0",
        "torn=0",
        "misnumbered=0",
        "not_arrived=0",
    ];
    if !common.any_order {
        must.push("disagreed=0");
    }
    // A scenario that expects the server to end connections overrides this figure.
    must.push("ended=0");
    let mut must: Vec<String> = must.into_iter().map(str::to_owned).collect();
    if figures.contains_key("big_lost") {
        must.extend(must.clone().iter().map(|required| format!("big_{required}")));
    }
    for required in run.must.iter().map(|required| (*required).to_owned()) {
        if !must.contains(&required) {
            must.push(required);
        }
    }
    let (required, mut missed) = judge(&must, common, &figures);
    missed.extend(ended.map(|status| format!("the server of --server-cmd ended during the run, with {status}")));
    Report {
        name: name.to_owned(),
        dialect: format!("{:?}", common.dialect),
        machine: crate::process::machine(),
        figures,
        required,
        missed,
        ended: engine.counts.ended.clone(),
        refused: engine.counts.refused.clone(),
        samples: run.samples.clone(),
        percentiles: percentiles(engine),
    }
}

fn judge(must: &[String], common: &Common, figures: &Figures) -> (Vec<String>, Vec<String>) {
    let mut required: Vec<crate::require::Requirement> = must.iter().filter_map(|text| text.parse().ok()).collect();
    for asked in common.require.iter().flat_map(|requirements| &requirements.0) {
        // A condition of the command line replaces the default one for the same figure.
        required.retain(|known| known.name != asked.name || known.comparison != asked.comparison);
        required.push(asked.clone());
    }
    let missed = required
        .iter()
        .filter_map(|required| required.missed(figures))
        .collect();
    (required.iter().map(ToString::to_string).collect(), missed)
}

fn percentiles(engine: &Engine) -> Vec<(f64, f64)> {
    const POINTS: [f64; 14] = [
        0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0,
    ];
    let Some(latency) = engine.latency.first().filter(|latency| !latency.total.is_empty()) else {
        return Vec::new();
    };
    POINTS
        .iter()
        .map(|&point| (point, latency.total.value_at_quantile(point) as f64 / 1e6))
        .collect()
}

/// The text of an error in the loop itself.
fn broken(error: std::io::Error) -> String {
    format!("the generator's own loop: {error}")
}
