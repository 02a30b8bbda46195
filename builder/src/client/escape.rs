//! What an operator types, and the few words for the console itself among it: `~.`, `~?` and `~~` at the start
//! of a line, as ssh has them.

/// What is to be done with what was typed, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the node's.
    Send(Vec<u8>),
    /// End the session.
    End,
    /// Say what can be typed.
    Help,
}

/// Where in a line the operator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escapes {
    /// At its start.
    #[default]
    Start,
    /// Behind a tilde at its start, which is held back.
    Tilde,
    /// Within a line: a tilde is a character as others.
    Line,
}

impl Escapes {
    /// Takes what was typed.
    pub fn take(&mut self, typed: &[u8]) -> Vec<Step> {
        let (mut steps, mut send) = (Vec::new(), Vec::new());
        for &byte in typed {
            let word = match (*self, byte) {
                (Escapes::Tilde, b'.') => Some(Step::End),
                (Escapes::Tilde, b'?') => Some(Step::Help),
                _ => None,
            };
            if let Some(word) = word {
                if !send.is_empty() {
                    steps.push(Step::Send(std::mem::take(&mut send)));
                }
                steps.push(word);
                *self = Escapes::Start;
                continue;
            }
            let held = *self == Escapes::Start && byte == b'~';
            match *self {
                // The second tilde stands for one.
                Escapes::Tilde if byte != b'~' => send.extend([b'~', byte]),
                _ if held => {}
                _ => send.push(byte),
            }
            *self = match byte {
                _ if held => Escapes::Tilde,
                b'\r' | b'\n' => Escapes::Start,
                _ => Escapes::Line,
            };
        }
        if !send.is_empty() {
            steps.push(Step::Send(send));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn send(text: &str) -> Step {
        Step::Send(text.into())
    }

    #[test]
    fn words_count_at_the_start_of_a_line_only() {
        let steps = |text: &str| Escapes::default().take(text.as_bytes());
        assert_eq!(steps("~."), [Step::End]);
        assert_eq!(steps("ls\r~."), [send("ls\r"), Step::End]);
        assert_eq!(steps("~?x"), [Step::Help, send("x")]);
        assert_eq!(steps("~~."), [send("~.")]);
        assert_eq!(steps("~/a\r"), [send("~/a\r")]);
        assert_eq!(steps("a~.b"), [send("a~.b")]);
        assert_eq!(steps("~\r~."), [send("~\r"), Step::End]);
        assert_eq!(steps("~"), []);
    }

    proptest! {
        #[test]
        fn pieces_mean_what_the_whole_means(text in "[~.?a\r]{0,30}", cuts in proptest::collection::vec(1usize..5, 1..20)) {
            let join = |steps: Vec<Step>| {
                let mut all: Vec<Step> = Vec::new();
                for step in steps {
                    match (all.last_mut(), step) {
                        (Some(Step::Send(before)), Step::Send(bytes)) => before.extend(bytes),
                        (_, step) => all.push(step),
                    }
                }
                all
            };
            let (mut escapes, mut steps, mut rest) = (Escapes::default(), Vec::new(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                steps.extend(escapes.take(piece));
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(join(steps), join(Escapes::default().take(text.as_bytes())));
        }

        #[test]
        fn without_a_tilde_nothing_is_changed(text in "[^~]{0,40}") {
            let steps = Escapes::default().take(text.as_bytes());
            prop_assert_eq!(steps, if text.is_empty() { vec![] } else { vec![send(&text)] });
        }
    }
}
