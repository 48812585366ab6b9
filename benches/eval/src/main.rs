//! Prints how often each policy of the semantic cache answers, and how often wrongly. `cargo xtask eval-cache`.

use std::{error::Error, path::PathBuf};

use buttress_semantic_cache::{ErrorBound, Guards, Policy};
use clap::Parser;
use eval_cache::{Data, Run, table};

/// Sends streams of labelled questions through the policies of the semantic cache.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// A directory with `utterances.jsonl` and, if vectors were made, `vectors.f32le`.
    #[arg(long)]
    data: PathBuf,
    /// How many orders of the questions are tried.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The share of verdicts that the judge turns round.
    #[arg(long, default_value_t = 0.0)]
    noise: f64,
    /// The share of served answers that is checked, about.
    #[arg(long, default_value_t = 0.05)]
    audits: f64,
    /// The share of misses whose answers are compared.
    #[arg(long, default_value_t = 1.0)]
    judged: f64,
    /// Takes what the guards see as evidence only: nothing is forbidden beforehand.
    #[arg(long)]
    no_vetoes: bool,
    /// Leaves the thresholds out.
    #[arg(long)]
    no_thresholds: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if !(0.0..=1.0).contains(&args.noise) {
        return Err("`--noise` must be between 0 and 1".into());
    }
    let data = Data::read(&args.data, eval_cache::embed)?;
    println!("{} questions, {} orders, judge wrong in {} of 100", data.len(), args.seeds, 100.0 * args.noise);
    let mut rows = Vec::new();
    for (name, policy) in policies(&args)? {
        let run = |seed| Run { policy: policy.clone(), seed, noise: args.noise }.over(&data);
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
        let policy = ErrorBound::new(target)?.audits(args.audits)?.judged(args.judged)?;
        let policy = if args.no_vetoes { policy.vetoes(Guards::NONE) } else { policy };
        policies.push((format!("error bound {:.0} %", 100.0 * target), Policy::error_bound(policy)));
    }
    Ok(policies)
}
