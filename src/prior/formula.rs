//! Formulas of parameters, `sigma8 * sqrt(Omega_m / 0.3)`, as on paper and in Python: `^` (or `**`) binds from the right,
//! and before a sign, so that −x² is not (−x)². (The parsers that are to be had read one or the other otherwise, or 1/2
//! as 0.)

use crate::error::{Error, Result};
use std::iter::Peekable;
use std::str::CharIndices;

/// Letters of a formula, at most.
const LONGEST: usize = 1000;
/// Parentheses within each other, at most.
const DEEPEST: usize = 50;

type Function = fn(f64) -> f64;
type OfTwo = fn(f64, f64) -> f64;

/// Functions of one number.
const FUNCTIONS: [(&str, Function); 9] = [
    ("sqrt", f64::sqrt),
    ("cbrt", f64::cbrt),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log10", f64::log10),
    ("abs", f64::abs),
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
];
/// Of two.
const OF_TWO: [(&str, OfTwo); 2] = [("min", f64::min), ("max", f64::max)];
/// The only name that is a number.
const PI: &str = "pi";

/// One step on a stack of numbers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Number(f64),
    Name(usize),
    One(Function),
    Two(OfTwo),
}

/// A formula that was understood.
#[derive(Debug, Clone)]
pub struct Formula {
    /// As it was given.
    pub text: String,
    /// The names in it, each once.
    pub names: Vec<String>,
    steps: Vec<Step>,
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Formula {
    /// Understands a text; says what is wrong with it.
    pub fn new(text: &str) -> Result<Formula> {
        if text.len() > LONGEST {
            return Err(Error::input(format!("a formula has at most {LONGEST} letters")).remedy("shorten it"));
        }
        let formula = Formula { text: text.into(), names: vec![], steps: vec![] };
        let mut parser = Parser { formula, left: text.char_indices().peekable(), depth: 0 };
        parser.sum()?;
        match parser.next() {
            None => Ok(parser.formula),
            Some(at) => Err(parser.refuse(at)),
        }
    }

    /// Its value, of the values of its names in their order; what has none is NaN or infinite.
    pub fn value(&self, names: &[f64]) -> f64 {
        let mut stack = vec![];
        for step in &self.steps {
            let value = match *step {
                Step::Number(x) => x,
                Step::Name(i) => names[i],
                Step::One(f) => stack.pop().map_or(f64::NAN, f),
                Step::Two(f) => {
                    let (b, a) = (stack.pop(), stack.pop());
                    a.zip(b).map_or(f64::NAN, |(a, b)| f(a, b))
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(f64::NAN)
    }
}

/// Reads from left to right, a method for each kind of part, and puts the steps down after what they need.
struct Parser<'a> {
    formula: Formula,
    left: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Parser<'_> {
    /// Where the next sign stands and what it is.
    fn next(&mut self) -> Option<(usize, char)> {
        while self.left.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        self.left.peek().copied()
    }

    fn is_next(&mut self, sign: char) -> bool {
        let is = self.next().is_some_and(|(_, c)| c == sign);
        is && self.left.next().is_some()
    }

    fn refuse(&self, (at, sign): (usize, char)) -> Error {
        let before = self.formula.text[..at].trim_end();
        let place = if before.is_empty() { "at its beginning".into() } else { format!("after `{before}`") };
        let error = Error::input(format!("this formula cannot be read: `{sign}` {place}"));
        let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).chain(OF_TWO.map(|f| f.0)).collect();
        error.remedy(format!("write numbers, names, + - * / ^, parentheses, {PI}, and {}", names.join(", ")))
    }

    /// Refuses whatever comes next.
    fn unexpected<T>(&mut self) -> Result<T> {
        Err(match self.next() {
            Some(at) => self.refuse(at),
            None => Error::input("this formula ends too early").remedy("give what is missing, or close a parenthesis"),
        })
    }

    fn need(&mut self, sign: char) -> Result<()> {
        if self.is_next(sign) { Ok(()) } else { self.unexpected() }
    }

    fn put(&mut self, step: Step) {
        self.formula.steps.push(step);
    }

    fn sum(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let error = Error::input(format!("a formula is at most {DEEPEST} parentheses, powers and signs deep"));
            return Err(error.remedy("make several of it"));
        }
        self.product()?;
        loop {
            let step: OfTwo = match self.next() {
                Some((_, '+')) => |a, b| a + b,
                Some((_, '-')) => |a, b| a - b,
                _ => break,
            };
            self.left.next();
            self.product()?;
            self.put(Step::Two(step));
        }
        self.depth -= 1;
        Ok(())
    }

    fn product(&mut self) -> Result<()> {
        self.signed()?;
        loop {
            let step: OfTwo = match self.next() {
                Some((_, '*')) => |a, b| a * b,
                Some((_, '/')) => |a, b| a / b,
                _ => return Ok(()),
            };
            self.left.next();
            self.signed()?;
            self.put(Step::Two(step));
        }
    }

    fn signed(&mut self) -> Result<()> {
        let (mut negative, mut signs) = (false, 0);
        while self.next().is_some_and(|(_, c)| c == '-' || c == '+') && signs < 2 {
            negative ^= self.left.next().is_some_and(|(_, c)| c == '-');
            signs += 1;
        }
        self.power()?;
        if negative {
            self.put(Step::One(|x| -x));
        }
        Ok(())
    }

    fn power(&mut self) -> Result<()> {
        self.part()?;
        let two_stars = |left: &mut Peekable<CharIndices>| {
            let mut ahead = left.clone();
            let both = ahead.next().is_some_and(|(_, c)| c == '*') && ahead.next().is_some_and(|(_, c)| c == '*');
            if both {
                *left = ahead;
            }
            both
        };
        if self.is_next('^') || two_stars(&mut self.left) {
            self.depth += 1;
            if self.depth > DEEPEST {
                return self.unexpected();
            }
            self.signed()?;
            self.depth -= 1;
            self.put(Step::Two(f64::powf));
        }
        Ok(())
    }

    /// A number, a name, a function of something, or something in parentheses.
    fn part(&mut self) -> Result<()> {
        match self.next() {
            Some((_, '(')) => {
                self.left.next();
                self.sum()?;
                self.need(')')
            }
            Some((at, c)) if c.is_ascii_digit() || c == '.' => {
                let mut end = at;
                while let Some((i, c)) = self.left.next_if(|&(i, c)| {
                    let exponent = matches!(self.formula.text.as_bytes().get(i.wrapping_sub(1)), Some(b'e' | b'E'));
                    c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || exponent && matches!(c, '+' | '-') && i > at
                }) {
                    end = i + c.len_utf8();
                }
                let number = self.formula.text[at..end].parse().ok().filter(|x: &f64| x.is_finite());
                let number = number.ok_or_else(|| {
                    let error = Error::input(format!("`{}` in this formula is no number", &self.formula.text[at..end]));
                    error.remedy("write 0.3 or 1e-9, and a product as 2 * h")
                })?;
                // `2h` is no product.
                if let Some(&(at, c)) = self.left.peek()
                    && (c.is_alphanumeric() || c == '_')
                {
                    return Err(self.refuse((at, c)));
                }
                self.put(Step::Number(number));
                Ok(())
            }
            Some((at, c)) if c.is_alphabetic() || c == '_' => {
                let mut end = at;
                while let Some((i, c)) = self.left.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    end = i + c.len_utf8();
                }
                let name = self.formula.text[at..end].to_string();
                self.named(name)
            }
            _ => self.unexpected(),
        }
    }

    fn named(&mut self, name: String) -> Result<()> {
        if !self.is_next('(') {
            let called = FUNCTIONS.iter().map(|f| f.0).chain(OF_TWO.map(|f| f.0)).any(|known| known == name);
            if called {
                let error = Error::input(format!("the function {name} in this formula is of nothing"));
                return Err(error.remedy(format!("write {name}(…)")));
            }
            let step = match self.formula.names.iter().position(|known| *known == name) {
                _ if name == PI => Step::Number(std::f64::consts::PI),
                Some(i) => Step::Name(i),
                None => {
                    self.formula.names.push(name);
                    Step::Name(self.formula.names.len() - 1)
                }
            };
            self.put(step);
            return Ok(());
        }
        self.sum()?;
        let step = match OF_TWO.iter().find(|f| f.0 == name) {
            Some((_, f)) => {
                self.need(',')?;
                self.sum()?;
                Step::Two(*f)
            }
            None => {
                let known = FUNCTIONS.iter().find(|f| f.0 == name);
                let (_, f) = known.ok_or_else(|| {
                    let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).chain(OF_TWO.map(|f| f.0)).collect();
                    let error = Error::input(format!("there is no function {name} for formulas"));
                    let log = if name == "log" { "ln or log10; in all there are " } else { "" };
                    error.remedy(format!("use {log}{}", names.join(", ")))
                })?;
                Step::One(*f)
            }
        };
        self.need(')')?;
        self.put(step);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        let formula = Formula::new(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let of = |name: &String| match name.as_str() {
            "Omega_m" => 0.27,
            "sigma8" => 0.8,
            "h" => 2.0,
            "n_s" => 3.0,
            other => panic!("{other}"),
        };
        formula.value(&formula.names.iter().map(of).collect::<Vec<_>>())
    }

    #[test]
    fn formulas_mean_what_they_mean_on_paper() {
        for (text, expected) in [
            ("sigma8 * sqrt(Omega_m / 0.3)", 0.8 * 0.9f64.sqrt()),
            ("-h^2", -4.0),
            ("(-h)^2", 4.0),
            ("h^n_s^2", 512.0),
            ("h**-1", 0.5),
            ("2^-h", 0.25),
            ("1 - h - n_s", -4.0),
            ("12 / h / n_s", 2.0),
            ("1/2", 0.5),
            ("2*-h", -4.0),
            ("2 - -h", 4.0),
            ("1e-3*h+1E3", 1000.002),
            ("2.5e+1 -1", 24.0),
            (".5*h + 1.", 2.0),
            ("ln(exp(h)) * log10(1e10)", 20.0),
            ("min(h, n_s) + max(h, 1e1)", 12.0),
            ("cbrt(abs(-8)) + sin(pi/2) + cos(0) + tan(0)", 4.0),
            ("((h))", 2.0),
            ("h * h\t+ h", 6.0),
        ] {
            assert!((value(text) - expected).abs() < 1e-12 * expected.abs().max(1.0), "{text}: {}", value(text));
        }
        assert!(value("sqrt(1 - h)").is_nan() && value("1 / (h - 2)").is_infinite());
        assert_eq!(Formula::new("sigma8 + Ω_m * sigma8").unwrap().names, ["sigma8", "Ω_m"]);
    }

    #[test]
    fn what_is_no_formula_is_refused_in_words() {
        let deep = "(".repeat(200) + "h" + &")".repeat(200);
        let powers = "2^".repeat(300) + "h";
        for (text, words) in [
            ("", "ends too early"),
            ("h *", "ends too early"),
            ("(h", "ends too early"),
            ("h)", "`)` after `h`"),
            ("h h", "`h` after `h`"),
            ("2h", "`h` after `2`"),
            ("1e400", "no number"),
            ("1.2.3", "no number"),
            ("sqrt h", "of nothing"),
            ("log(h)", "ln or log10"),
            ("gamma(h)", "no function gamma"),
            ("min(h)", "`)` after `min(h`"),
            ("sqrt(h, 2)", "`,` after"),
            ("h; n_s", "`;` after"),
            ("---h", "`-` after `--`"),
            ("* h", "at its beginning"),
            (&deep, "deep"),
            (&powers, "cannot be read"),
            (&"h+".repeat(600), "1000 letters"),
        ] {
            let e = Formula::new(text).unwrap_err();
            assert!(e.exit_code() == 2 && e.remedy.is_some() && e.to_string().contains(words), "{text}: {e}");
        }
    }
}
