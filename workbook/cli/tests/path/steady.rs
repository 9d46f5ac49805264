//! For comparing what `cargo workbook` prints.

/// Without what differs from run to run: times, and the lines of the server's log.
pub fn steady(text: &str) -> String {
    let mut result = String::new();
    for line in text.lines() {
        // `    19:24:57.348 [15703] LOG:  ...`, and the lines that belong to it.
        let log = line.strip_prefix("    ").is_some_and(|rest| {
            rest.starts_with('\t')
                || rest.get(..14).is_some_and(|time| time.ends_with(" [") && time.as_bytes()[2] == b':')
        });
        if log {
            continue;
        }
        // As root the program is the one behind a wrapper.
        let line = line.replace("pg_ctl.real", "pg_ctl");
        let mut rest = line.as_str();
        // A number with a point in it is a time, one of ten digits is the second of a backup; all others are names and counts.
        while let Some(place) = rest.find(|c: char| c.is_ascii_digit()) {
            let end =
                rest[place..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| place + end);
            let (number, unit) = (&rest[place..end], &rest[end..]);
            let time = number.contains('.') && ["s", "ms", " s", " 秒", "µs"].iter().any(|u| unit.starts_with(u));
            result += &rest[..place];
            result += if time || number.len() == 10 { "N" } else { number };
            rest = unit.strip_prefix('m').filter(|u| time && u.starts_with('s')).unwrap_or(unit);
        }
        result += rest;
        result.push('\n');
    }
    result
}
