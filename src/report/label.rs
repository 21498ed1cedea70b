//! Labels: simple LaTeX (`\Omega_m`, `\sigma_8`, `10^{-3}`) to Unicode with sub- and superscripts.

/// A piece of a label at one height.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub text: String,
    /// −1 subscript, 0 base line, 1 superscript.
    pub script: i8,
}

/// LaTeX commands and what they stand for.
const SYMBOLS: &[(&str, &str)] = &[
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("varepsilon", "ε"),
    ("zeta", "ζ"),
    ("eta", "η"),
    ("theta", "θ"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("pi", "π"),
    ("rho", "ρ"),
    ("sigma", "σ"),
    ("tau", "τ"),
    ("phi", "φ"),
    ("varphi", "φ"),
    ("chi", "χ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("Gamma", "Γ"),
    ("Delta", "Δ"),
    ("Theta", "Θ"),
    ("Lambda", "Λ"),
    ("Sigma", "Σ"),
    ("Phi", "Φ"),
    ("Psi", "Ψ"),
    ("Omega", "Ω"),
    ("odot", "☉"),
    ("times", "×"),
    ("cdot", "·"),
    ("pm", "±"),
    ("infty", "∞"),
    ("ell", "ℓ"),
    ("ln", "ln "),
    ("log", "log "),
    ("sum", "Σ"),
    ("prime", "′"),
    ("leq", "≤"),
    ("geq", "≥"),
    ("approx", "≈"),
    ("langle", "⟨"),
    ("rangle", "⟩"),
    (",", " "),
    (";", " "),
    (" ", " "),
];

/// Characters of a label that are drawn, at most: more would not fit any figure.
const LONGEST: usize = 200;

/// Parses a label. Unknown commands keep their name; `\mathrm{…}` and the like keep their argument.
pub fn runs(latex: &str) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    let mut push = |text: &str, script: i8| match out.last_mut() {
        Some(last) if last.script == script => last.text.push_str(text),
        _ => out.push(Run { text: text.to_string(), script }),
    };
    let chars: Vec<char> = latex.chars().filter(|c| *c != '$').take(LONGEST).collect();
    // `script` holds for one symbol, or to the end of its group.
    let (mut i, mut script, mut depth) = (0, 0i8, 0u32);
    while i < chars.len() {
        let c = chars[i];
        i += 1;
        let mut symbol = c.to_string();
        match c {
            '_' | '^' => {
                script = if c == '_' { -1 } else { 1 };
                if chars.get(i) == Some(&'{') {
                    i += 1;
                    depth = 1;
                }
                continue;
            }
            '{' => {
                depth += (depth > 0) as u32;
                continue;
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    script = 0;
                }
                continue;
            }
            '\\' => {
                let start = i;
                while i < chars.len() && chars[i].is_alphabetic() {
                    i += 1;
                }
                i = i.max((start + 1).min(chars.len()));
                let name: String = chars[start..i].iter().collect();
                if matches!(name.as_str(), "mathrm" | "rm" | "mathit" | "text" | "mathbf" | "left" | "right") {
                    // TeX swallows the blanks that end a command.
                    while chars.get(i) == Some(&' ') {
                        i += 1;
                    }
                    continue;
                }
                symbol = SYMBOLS.iter().find(|(n, _)| *n == name).map_or(name, |(_, s)| s.to_string());
            }
            '-' if script != 0 => symbol = "−".into(),
            _ => {}
        }
        push(&symbol, script);
        if depth == 0 {
            script = 0;
        }
    }
    out
}

/// The label on one line, e.g. for a terminal.
pub fn plain(latex: &str) -> String {
    let mark = |r: Run| match r.script {
        -1 => format!("_{}", r.text),
        1 => format!("^{}", r.text),
        _ => r.text,
    };
    runs(latex).into_iter().map(mark).collect()
}

/// The label in HTML.
pub fn html(latex: &str) -> maud::Markup {
    maud::html! {
        @for r in runs(latex) {
            @match r.script { -1 => sub { (r.text) }, 1 => sup { (r.text) }, _ => (r.text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_becomes_unicode() {
        assert_eq!(plain(r"\Omega_m"), "Ω_m");
        assert_eq!(plain(r"$10^{-12}\,h$"), "10^−12 h");
        assert_eq!(plain(r"\Omega_{\rm b} h^2"), "Ω_b h^2");
        assert_eq!(html(r"\sigma_8").into_string(), "σ<sub>8</sub>");
        assert_eq!(plain(r"\odd\"), "odd");
        assert_eq!(
            runs("x_1y"),
            vec![
                Run { text: "x".into(), script: 0 },
                Run { text: "1".into(), script: -1 },
                Run { text: "y".into(), script: 0 },
            ]
        );
    }
}
