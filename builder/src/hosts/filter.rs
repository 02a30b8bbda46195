//! Which names of a table count: patterns as `plan.hosts` has them, and names with `*`, which stands for any
//! characters.

use vmatic_plan::HostNames;

use crate::glob;

/// Names, by patterns between commas.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Pattern(HostNames),
    Stars(String),
}

impl Filter {
    /// Reads patterns such as `n[1-40],login*`.
    ///
    /// # Errors
    /// Says what is wrong with a pattern.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let (mut terms, mut depth, mut begin) = (Vec::new(), 0i32, 0);
        for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
            depth += i32::from(c == '[') - i32::from(c == ']');
            if c != ',' || depth > 0 && at < text.len() {
                continue;
            }
            let term = text.get(begin..at).unwrap_or_default().trim();
            begin = at + 1;
            terms.push(match HostNames::parse(term) {
                Ok(names) => Term::Pattern(names),
                // What cannot be a host's name may be what is to be left out.
                Err(_) if !term.is_empty() && !term.contains(['[', ']']) => Term::Stars(term.to_owned()),
                Err(error) => return Err(error.to_string()),
            });
        }
        Ok(Filter { text: text.to_owned(), terms })
    }

    /// Whether it names this one.
    pub fn has(&self, name: &str) -> bool {
        self.terms.iter().any(|term| match term {
            Term::Pattern(names) => names.number(name).is_some(),
            Term::Stars(stars) => glob::matches(stars.as_bytes(), name.as_bytes()),
        })
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_by_patterns_and_stars() {
        let filter = Filter::parse("n[1-4,7], login*,*-ipmi,a_b,x*y*z").unwrap();
        for (name, chosen) in [
            ("n3", true),
            ("n5", false),
            ("login", true),
            ("login2", true),
            ("n5-ipmi", true),
            ("ipmi", false),
            ("a_b", true),
            ("xyz", true),
            ("x1y2z", true),
            ("xz", false),
            ("xzy", false),
        ] {
            assert_eq!(filter.has(name), chosen, "{name}");
        }
        for wrong in ["", "n[1", "n[2-1]", "a,,b"] {
            assert!(Filter::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
