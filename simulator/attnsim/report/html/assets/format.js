"use strict";
/** Numbers as the terminal writes them (attnsim.units.format_quantity, attnsim.evaluate.render): three digits, SI prefixes. */
(() => {
  const DECIMAL = { k: 3, M: 6, G: 9, T: 12, P: 15, E: 18, m: -3, u: -6, n: -9, p: -12, f: -15 };
  const LARGE = "kMGTPE";
  const SMALL = "munpf";
  /** Numerator of a unit -> prefixes it takes, and the power they are raised to. */
  const ATOMS = {
    B: { prefixes: LARGE },
    FLOP: { prefixes: LARGE },
    OP: { prefixes: LARGE },
    Hz: { prefixes: LARGE },
    s: { prefixes: SMALL },
    J: { prefixes: SMALL + LARGE },
    W: { prefixes: SMALL + LARGE },
    cycle: { prefixes: LARGE },
    "m^2": { prefixes: SMALL, power: 2 },
  };
  const WRITTEN = { "m^2": "m²" };

  const rounded = (value) => Number(value.toPrecision(3));

  /** `value` of `unit` with three digits and the prefix that fits: "1.02 ms", "3.35 TB/s". */
  function quantity(value, unit) {
    const [top, ...rest] = unit.split("/");
    const atom = ATOMS[top] || { prefixes: "" };
    const shown = [WRITTEN[top] || top, ...rest].join("/");
    if (value === 0 || !Number.isFinite(value)) return `${value} ${shown}`;
    const power = atom.power || 1;
    const steps = [...atom.prefixes].map((prefix) => [prefix, DECIMAL[prefix]]).concat([["", 0]]);
    steps.sort((a, b) => a[1] - b[1]);
    let mantissa = value;
    let prefix = "";
    for (const [candidate, exponent] of steps) {
      prefix = candidate;
      mantissa = exponent * power >= 0 ? value / 10 ** (exponent * power) : value * 10 ** (-exponent * power);
      if (Math.abs(rounded(mantissa)) < 1000 ** power) break;
    }
    const number = rounded(mantissa);
    if (Math.abs(number) < 1e-3 || Math.abs(number) >= 1e15) return `${scientific(mantissa)} ${prefix}${shown}`;
    const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
    return `${(Math.abs(number) < 1000 ? number : mantissa).toFixed(decimals)} ${prefix}${shown}`;
  }

  /** 1.23e-07, as Python writes it. */
  function scientific(value) {
    const [digits, exponent] = value.toExponential(2).split("e");
    const size = Math.abs(Number(exponent));
    return `${digits}e${Number(exponent) < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`;
  }

  /** A pure number with three digits; from 1000 on whole, with a space between thousands. */
  function ratio(value) {
    if (value === 0) return "0";
    if (!(Math.abs(value) >= 1e-3 && Math.abs(value) < 1e15)) return scientific(value);
    const number = rounded(value);
    if (Math.abs(number) >= 1000) return count(value);
    return number.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number)))));
  }

  /** A whole number with narrow spaces between thousands. */
  function count(value) {
    return value.toFixed(0).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  }

  /** A fraction as a percentage. */
  const percent = (value) => `${ratio(value * 100)} %`;
  /** A part of a whole; what cannot matter is only called small. */
  const share = (value) => (value > 0 && value < 1e-3 ? "<0.1 %" : percent(value));
  const usd = (value) => `${Number(value.toPrecision(4))} USD`;

  const WRITERS = { text: String, count, ratio, percent, USD: usd, share };

  /** Any value of a unit of `parts.py`; null is empty. */
  function value(number, unit) {
    if (number === null || number === undefined) return "";
    if (typeof number === "object") return value(number.value, number.unit);
    if (typeof number === "string") return number;
    if (unit === "count" && !Number.isInteger(number)) return ratio(number);
    return (WRITERS[unit] || ((amount) => quantity(amount, unit)))(number);
  }

  attnsim.format = {
    seconds: (amount) => quantity(amount, "s"),
    bytes: (amount) => quantity(amount, "B"),
    flops: (amount) => quantity(amount, "FLOP"),
    quantity,
    ratio,
    count,
    percent,
    share,
    usd,
    value,
  };
})();
