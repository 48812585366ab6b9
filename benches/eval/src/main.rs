//! Prints how often each policy of the semantic cache answers, and how often wrongly. `cargo xtask eval-cache`.

use std::{error::Error, path::PathBuf};

use buttress_semantic_cache::{ErrorBound, Guards, Policy};
use clap::Parser;
use eval_cache::{Data, Kind, Noise, Run, Scene, table};

/// Sends streams of labelled questions through the policies of the semantic cache.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// A directory with `utterances.jsonl` and, if vectors were made, `vectors.f32le`.
    #[arg(long)]
    data: PathBuf,
    /// How many orders of the questions are tried.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The kind of traffic.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// How many questions are asked, at most.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    most: usize,
    /// The share of verdicts that the judge turns round.
    #[arg(long, default_value_t = 0.0)]
    noise: f64,
    /// The share of different answers that the judge calls equal, besides.
    #[arg(long, default_value_t = 0.0)]
    false_yes: f64,
    /// The share of equal answers that the judge calls different, besides.
    #[arg(long, default_value_t = 0.0)]
    false_no: f64,
    /// The share of questions that bear a wrong label.
    #[arg(long, default_value_t = 0.0)]
    mislabelled: f64,
    /// Makes the vectors of letters, also where the data set has better ones.
    #[arg(long)]
    lexical: bool,
    /// The share of served answers that is checked, about.
    #[arg(long, default_value_t = 0.05)]
    audits: f64,
    /// How many answers are compared per request, at most.
    #[arg(long, default_value_t = 0.5)]
    comparisons: f64,
    /// Counts wrong answers per answer that is served, for the targets.
    #[arg(long)]
    per_hit: bool,
    /// Takes what the guards see as evidence only: nothing is forbidden beforehand.
    #[arg(long)]
    no_vetoes: bool,
    /// Leaves the thresholds out.
    #[arg(long)]
    no_thresholds: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    for (name, share) in [
        ("--noise", args.noise),
        ("--false-yes", args.noise + args.false_yes),
        ("--false-no", args.noise + args.false_no),
        ("--mislabelled", args.mislabelled),
    ] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{name}` must be between 0 and 1, together with `--noise`").into());
        }
    }
    let data = Data::read(&args.data, eval_cache::embed)?;
    let data = if args.lexical { data.wrapped(&[("", "")], eval_cache::embed) } else { data };
    let scene = Scene::new(&data, args.kind);
    let judge = Noise { yes: args.noise + args.false_yes, no: args.noise + args.false_no };
    println!("{:?}: {} questions, {} orders; {judge:?}", args.kind, scene.len().min(args.most), args.seeds);
    let mut rows = Vec::new();
    for (name, policy) in policies(&args)? {
        let run = |seed| {
            let run = Run { judge, mislabelled: args.mislabelled, most: args.most, ..Run::new(policy.clone(), seed) };
            run.over(&scene)
        };
        rows.push((name, (1..=args.seeds).map(run).collect::<Vec<_>>()));
    }
    print!("{}", table(&rows));
    Ok(())
}

fn policies(args: &Args) -> Result<Vec<(String, Policy)>, Box<dyn Error>> {
    let mut policies = Vec::new();
    if !args.no_thresholds {
        for similarity in [0.80, 0.85, 0.90, 0.95, 0.98] {
            policies.push((format!("threshold {similarity:.2}"), Policy::threshold(similarity)?));
        }
    }
    for target in [0.01, 0.02, 0.05] {
        let policy = ErrorBound::new(target)?.audits(args.audits)?.comparisons(args.comparisons)?;
        let policy = if args.per_hit { policy.per_hit() } else { policy };
        let policy = if args.no_vetoes { policy.vetoes(Guards::NONE) } else { policy };
        policies.push((format!("error bound {:.0} %", 100.0 * target), Policy::error_bound(policy)));
    }
    Ok(policies)
}
