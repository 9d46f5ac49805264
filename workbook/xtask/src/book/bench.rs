//! What `scripts/bench` has measured, as tables and as a drawing.

use super::{read, toml};
use anyhow::{Context, Result, ensure};
use cluster::{Lang, tr};
use course::bilingual::Bilingual;
use serde::Deserialize;
use std::path::Path;

/// `bench.toml`
#[derive(Deserialize)]
struct Results {
    date: String,
    machine: String,
    postgresql: String,
    metric: Vec<Metric>,
    beside: Vec<Beside>,
}

#[derive(Clone, Deserialize)]
struct Metric {
    id: String,
    ratio: f64,
    low: f64,
    high: f64,
    blocks: u32,
}

#[derive(Deserialize)]
struct Beside {
    id: String,
    processed_ms: f64,
    idle_wal: u64,
    idle_xids: u64,
}

/// `metrics.toml`
#[derive(Deserialize)]
struct Title {
    title: Bilingual,
    #[serde(default)]
    plot: bool,
    #[serde(default)]
    optional: bool,
}

fn results(root: &Path) -> Result<Results> {
    toml(&root.join("steps/worker_spi/bench.toml"))
}

/// What was measured, each with its title, in the order of `metrics.toml`.
fn metrics(root: &Path) -> Result<Vec<(Title, Metric)>> {
    let measured = results(root)?.metric;
    let mut found = Vec::new();
    for (id, title) in read(&root.join("steps/worker_spi/metrics.toml"))?.parse::<::toml::Table>()? {
        let title: Title = title.try_into()?;
        match measured.iter().find(|metric| metric.id == id) {
            Some(metric) => found.push((title, metric.clone())),
            None => ensure!(title.optional, "metrics.toml has {id}, which was not measured"),
        }
    }
    ensure!(found.len() == measured.len(), "bench.toml has a metric that metrics.toml does not name");
    Ok(found)
}

pub fn table(root: &Path, lang: Lang) -> Result<Vec<String>> {
    let head = tr!(lang, "| Measured | Rust / C | 95 % interval |", "| 測定項目 | Rust / C | 95 % 区間 |");
    let mut out = vec![head, "|---|---|---|".into()];
    for (title, metric) in metrics(root)? {
        let interval =
            if metric.blocks > 1 { format!("{:.2} – {:.2} ", metric.low, metric.high) } else { String::new() };
        out.push(format!("| {} | {:.2} | {interval}|", title.title.get(lang), metric.ratio));
    }
    Ok(out)
}

/// Step 7's design beside the two.
pub fn beside(root: &Path, lang: Lang) -> Result<Vec<String>> {
    let head = tr!(
        lang,
        "| Worker | From commit to processed | 360 idle cycles: WAL | XIDs |",
        "| ワーカー | コミットから処理まで | 仕事のない 360 サイクルの WAL | XID |"
    );
    let mut out = vec![head, "|---|---|---|---|".into()];
    for Beside { id, processed_ms, idle_wal, idle_xids } in results(root)?.beside {
        let name = match id.as_str() {
            "rust" => tr!(lang, "`worker_spi` in Rust", "Rust の `worker_spi`"),
            "c" => tr!(lang, "`worker_spi` in C", "C の `worker_spi`"),
            _ => tr!(lang, "step 7", "ステップ 7"),
        };
        let wal = thousands(idle_wal);
        out.push(tr!(
            lang,
            "| {name} | {processed_ms:.1} ms | {wal} bytes | {idle_xids} |",
            "| {name} | {processed_ms:.1} ms | {wal} バイト | {idle_xids} |"
        ));
    }
    Ok(out)
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut result = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}

/// When it was measured, and where.
pub fn machine(root: &Path, lang: Lang) -> Result<String> {
    let Results { date, machine, postgresql, metric, .. } = results(root)?;
    let counted = metric.iter().any(|metric| metric.id.starts_with("instructions"));
    let uncounted = match counted {
        true => String::new(),
        false => tr!(lang, "; instructions cannot be counted on it", " (この環境では命令数を数えられない)"),
    };
    Ok(tr!(
        lang,
        "{date}, PostgreSQL {postgresql}, {machine}{uncounted}",
        "{date}、PostgreSQL {postgresql}、{machine}{uncounted}"
    ))
}

/// The ratios on a logarithmic scale, each with its interval, around the line at 1. Alone, it brings the colours that a page has.
pub fn plot(root: &Path, lang: Lang, alone: bool) -> Result<String> {
    let rows: Vec<_> = metrics(root)?.into_iter().filter(|(title, _)| title.plot).collect();
    let (left, right, top, step) = (330.0, 690.0, 44, 24);
    let low = rows.iter().map(|(_, metric)| metric.low).fold(0.5, f64::min);
    let high = rows.iter().map(|(_, metric)| metric.high).fold(2.0, f64::max);
    let x = |ratio: f64| left + (right - left) * (ratio / low).ln() / (high / low).ln();
    let bottom = top + step * i32::try_from(rows.len()).context("too many rows")?;
    let height = bottom + 34;
    let label = tr!(
        lang,
        "Ratios of Rust to C with their intervals; the table has the same figures",
        "Rust と C の比とその区間。表と同じ数値"
    );
    let mut out = vec![format!(
        "<svg viewBox=\"0 0 720 {height}\" width=\"720\" height=\"{height}\" role=\"img\" aria-label=\"{label}\" xmlns=\"http://www.w3.org/2000/svg\">"
    )];
    if alone {
        out.push("<style>svg { color: #24292f; font-family: sans-serif; } @media (prefers-color-scheme: dark) { svg { color: #d1d7e0; } }</style>".into());
    }
    let text = |x: f64, y: i32, anchor: &str, what: &str| {
        format!(
            "<text fill=\"currentColor\" font-size=\"13\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{what}</text>"
        )
    };
    let one = x(1.0);
    out.push(format!("<path stroke=\"currentColor\" fill=\"none\" d=\"M{one:.1} {} V{bottom}\"/>", top - 12));
    let less = tr!(lang, "← Rust is faster or smaller", "← Rust のほうが速い、または小さい");
    out.push(text(one - 8.0, 18, "end", &less));
    let more = tr!(lang, "Rust is slower or larger →", "Rust のほうが遅い、または大きい →");
    out.push(match one < 450.0 {
        true => text(one + 8.0, 18, "start", &more),
        false => text(right + 30.0, bottom + 30, "end", &more),
    });
    for (number, (title, metric)) in (0..).zip(&rows) {
        let y = top + step * number + 12;
        out.push(text(left - 14.0, y + 4, "end", title.title.get(lang)));
        let (from, to) = (x(metric.low), x(metric.high));
        out.push(format!(
            "<path stroke=\"currentColor\" stroke-width=\"2\" opacity=\"0.55\" d=\"M{from:.1} {y} H{to:.1}\"/>"
        ));
        out.push(format!("<circle fill=\"currentColor\" cx=\"{:.1}\" cy=\"{y}\" r=\"4\"/>", x(metric.ratio)));
    }
    for tick in [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0] {
        if low <= tick && tick <= high {
            out.push(text(x(tick), bottom + 16, "middle", &tick.to_string()));
        }
    }
    out.push("</svg>".into());
    Ok(out.join("\n"))
}
