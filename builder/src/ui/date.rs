//! Times as people write them, in UTC: dates by the proleptic Gregorian calendar.

/// Days from 0000-03-01 to 1970-01-01. Years begin in March here, so that the leap day is the last.
const DAYS_BEFORE_1970: u64 = 719_468;
/// Days of 400 years.
const DAYS_OF_ERA: u64 = 146_097;
const DAY_S: u64 = 86_400;
/// The last year that is read.
const YEAR_MAX: u64 = 9999;

/// Year, month and day of a time in seconds since 1970, and the seconds of that day.
fn parts(seconds: u64) -> (u64, u64, u64, u64) {
    let (days, rest) = (seconds / DAY_S, seconds % DAY_S);
    let shifted = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (shifted / DAYS_OF_ERA, shifted % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day, rest)
}

/// Seconds since 1970 as `2026-11-21T10:07:07Z` (RFC 3339).
pub fn rfc3339(seconds: u64) -> String {
    let (year, month, day, rest) = parts(seconds);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 as `2026-11-21 10:07 UTC`.
pub fn minutes(seconds: u64) -> String {
    let (year, month, day, rest) = parts(seconds);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

/// The beginning of a day in seconds since 1970; none if there is no such day from 1970 to [`YEAR_MAX`].
fn day(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=YEAR_MAX).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (shifted, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * months + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let seconds = (era * DAYS_OF_ERA + day_of_era).checked_sub(DAYS_BEFORE_1970)? * DAY_S;
    // 31 February is another day.
    (parts(seconds) == (year, month, day, 0)).then_some(seconds)
}

/// The end of something, in seconds since 1970, as one writes it: `2026-12-31` (with that day), `2026-12-31T18:00`, or
/// from now `90m`, `8h`, `30d`. All in UTC.
///
/// # Errors
/// What to write, where it is none of these.
pub fn parse_end(text: &str, now_s: u64) -> Result<u64, &'static str> {
    const WANTED: &str = "write 2026-12-31 (that day with it), 2026-12-31T18:00 (UTC), or from now 90m, 8h or 30d";
    let span = text.char_indices().next_back().and_then(|(at, unit)| {
        let unit_s = match unit {
            'm' => 60,
            'h' => 3600,
            'd' => DAY_S,
            _ => return None,
        };
        let count = text[..at].parse::<u32>().ok().filter(|count| *count > 0)?;
        Some(now_s.saturating_add(u64::from(count) * unit_s))
    });
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let at = || {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, clock) = text.split_once(['T', ' ']).map_or((text, None), |(date, clock)| (date, Some(clock)));
        let mut fields = date.split('-');
        let mut next = |digits| number(fields.next()?, digits);
        let begins = day(next(4)?, next(2)?, next(2)?)?;
        let clock = match clock {
            None => return fields.next().is_none().then_some(begins + DAY_S),
            Some(clock) => clock.split_once(':')?,
        };
        let (hour, minute) = (number(clock.0, 2)?, number(clock.1, 2)?);
        (fields.next().is_none() && hour < 24 && minute < 60).then_some(begins + hour * 3600 + minute * 60)
    };
    span.or_else(at).ok_or(WANTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (4_294_967_295, "2106-02-07T06:28:15Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), date);
            assert_eq!(minutes(seconds), format!("{} {} UTC", &date[..10], &date[11..16]));
        }
    }

    #[test]
    fn an_end_is_a_day_a_time_or_a_while() {
        let now_s = 1_800_000_000;
        for (text, end_s) in [
            ("1970-01-01", DAY_S),
            ("2000-02-29", 951_868_800),
            ("2024-02-29T23:59", 1_709_251_140),
            ("2024-02-29 23:59", 1_709_251_140),
            ("2024-02-29T23:59Z", 1_709_251_140),
            ("90m", now_s + 5400),
            ("8h", now_s + 28_800),
            ("30d", now_s + 30 * DAY_S),
        ] {
            assert_eq!(parse_end(text, now_s), Ok(end_s), "{text}");
        }
        for wrong in [
            "",
            "0d",
            "d",
            "-1d",
            "2023-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-1-1",
            "2026-01-01-01",
            "1969-12-31",
            "99999-01-01",
            "2026-01-01T24:00",
            "2026-01-01T12:60",
            "2026-01-01T12",
            "tomorrow",
            "99999999999d",
            "1é",
        ] {
            assert!(parse_end(wrong, now_s).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for days in (0..2_900_000).step_by(13) {
            let text = rfc3339(days * DAY_S);
            assert_eq!(parse_end(&text[..10], 0), Ok((days + 1) * DAY_S), "{text}");
        }
    }
}
