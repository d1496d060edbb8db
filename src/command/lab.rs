//! `hsanalyze lab`: runs experiments in private namespaces and shows what they found.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;

use super::{Status, raise_descriptor_limit, refuse_one_file_for_two};
use crate::capture::write_pcapng;
use crate::lab::{
    Custom, LabError, Parameters, Scenario, ScenarioOutcome, Trace, acquire_privilege, draw_svg, draw_text,
};
use crate::report::output::Output;
use crate::report::write_lab;

/// Experiments to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabConfig {
    /// The experiments.
    pub what: Experiments,
    /// Experiments they have in common.
    pub parameters: Parameters,
    /// File for the packets.
    pub packets: Option<PathBuf>,
    /// File for the drawn curve.
    pub drawing: Option<PathBuf>,
    /// The form of the comparison.
    pub format: LabFormat,
}

/// The experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Experiments {
    /// These scenarios.
    Scenarios(Vec<Scenario>),
    /// The user's own.
    Custom(Custom),
}

/// The form of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabFormat {
    /// Tables for people.
    Text,
    /// One JSON document.
    Json,
}

/// Runs the experiments. The status is [`Status::Finding`] if the kernel did not behave as expected.
///
/// # Errors
///
/// The lab could not be set up, or an output not be written.
pub fn run(config: &LabConfig, out: &mut impl Write) -> anyhow::Result<Status> {
    if let (Some(packets), Some(drawing)) = (&config.packets, &config.drawing) {
        refuse_one_file_for_two(("-w", packets), false, ("-o", drawing))?;
    }
    // Before the experiments take their time.
    for path in config.packets.iter().chain(&config.drawing) {
        Output::probe(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    // Before the first thread: only a single-threaded process can enter a user namespace.
    acquire_privilege().context("lab")?;
    raise_descriptor_limit();
    let mut outcomes = Vec::new();
    match &config.what {
        Experiments::Custom(custom) => {
            let waiting = spinner("running");
            let outcome = custom.run(&config.parameters).context("lab")?;
            waiting.finish_and_clear();
            show(config, outcome, &mut outcomes, out)?;
        }
        Experiments::Scenarios(scenarios) => {
            for batch in batches(scenarios) {
                let names: Vec<_> = batch.iter().map(|scenario| scenario.name()).collect();
                let waiting = spinner(&format!("running {}", names.join(", ")));
                let results = together(&batch, &config.parameters);
                waiting.finish_and_clear();
                for (name, result) in names.iter().zip(results) {
                    let outcome = result.with_context(|| format!("lab {name}"))?;
                    show(config, outcome, &mut outcomes, out)?;
                }
            }
        }
    }
    let agree = outcomes.iter().all(|outcome| outcome.comparison.agree());
    match config.format {
        LabFormat::Text => conclude(&outcomes, out)?,
        LabFormat::Json => write_lab(&outcomes, out)?,
    }
    Ok(if agree { Status::Done } else { Status::Finding })
}

/// Scenarios that race against the scheduler run alone; those that wait for the kernel's timers run
/// together, each in namespaces of its own.
fn batches(scenarios: &[Scenario]) -> Vec<Vec<Scenario>> {
    let alone = |s: &&Scenario| matches!(s, Scenario::Queue | Scenario::Reset | Scenario::Race);
    let (alone, waiting): (Vec<&Scenario>, Vec<&Scenario>) = scenarios.iter().partition(alone);
    let mut batches: Vec<Vec<Scenario>> = alone.into_iter().map(|&scenario| vec![scenario]).collect();
    if !waiting.is_empty() {
        batches.push(waiting.into_iter().copied().collect());
    }
    batches
}

fn together(scenarios: &[Scenario], parameters: &Parameters) -> Vec<Result<ScenarioOutcome, LabError>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            scenarios.iter().map(|scenario| scope.spawn(|| scenario.run(parameters))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn spinner(message: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// Shows text at once, writes the packets and the drawing, and keeps the rest.
fn show(
    config: &LabConfig,
    outcome: ScenarioOutcome,
    outcomes: &mut Vec<ScenarioOutcome>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if config.format == LabFormat::Text {
        outcome.comparison.write_text(out)?;
        if let Some(curve) = &outcome.curve {
            writeln!(out, "{}", draw_text(curve))?;
        }
        out.flush()?;
    }
    if let Some(path) = &config.packets {
        let several =
            outcome.traces.len() > 1 || matches!(&config.what, Experiments::Scenarios(s) if s.len() > 1);
        for (name, trace) in &outcome.traces {
            let path = if several { with_name(path, name) } else { path.clone() };
            packets(&path, trace).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if let (Some(path), Some(curve)) = (&config.drawing, &outcome.curve) {
        draw_svg(curve, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    outcomes.push(outcome);
    Ok(())
}

/// `lab.pcapng` and `drop-light-1` make `lab-drop-light-1.pcapng`.
fn with_name(path: &Path, name: &str) -> PathBuf {
    let mut file = path.file_stem().unwrap_or_default().to_owned();
    file.push("-");
    file.push(name);
    if let Some(extension) = path.extension() {
        file.push(".");
        file.push(extension);
    }
    path.with_file_name(file)
}

fn packets(path: &Path, trace: &Trace) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write_pcapng(&[&trace.client, &trace.server], &mut file)?;
    file.flush()
}

fn conclude(outcomes: &[ScenarioOutcome], out: &mut impl Write) -> io::Result<()> {
    if outcomes
        .iter()
        .all(|outcome| outcome.comparison.scenario == Custom::NAME && outcome.comparison.agree())
    {
        return writeln!(out, "Packets and kernel counters agree.");
    }
    let rows = outcomes.iter().flat_map(|outcome| &outcome.comparison.rows);
    let (agree, differ): (Vec<_>, Vec<_>) = rows.partition(|row| row.agree);
    if differ.is_empty() {
        return writeln!(
            out,
            "This kernel does what is expected, in all {} rows (DOMAIN §: docs/DOMAIN.md).",
            agree.len()
        );
    }
    writeln!(
        out,
        "This kernel differs from what is expected (DOMAIN §: docs/DOMAIN.md) in {} of {} rows:",
        differ.len(),
        agree.len() + differ.len()
    )?;
    differ.iter().try_for_each(|row| {
        writeln!(out, "  §{} {}: {} expected, {} seen", row.section, row.subject, row.expected, row.kernel)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_races_runs_alone_and_what_waits_runs_together() {
        let batches = batches(&Scenario::ALL);
        let races = batches.iter().find(|batch| batch.contains(&Scenario::Race)).unwrap();
        assert_eq!(races.len(), 1);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), Scenario::ALL.len());
        // All but the queue, the reset and the race.
        assert_eq!(batches.last().unwrap().len(), Scenario::ALL.len() - 3);
    }

    #[test]
    fn a_run_s_name_goes_before_the_extension() {
        assert_eq!(with_name(Path::new("/x/lab.pcapng"), "drop-1"), Path::new("/x/lab-drop-1.pcapng"));
        assert_eq!(with_name(Path::new("lab"), "drop-1"), Path::new("lab-drop-1"));
    }
}
