// Primes below a hundred thousand, by the sieve of Eratosthenes.
"use strict";
const { bench, check } = require(process.env.SPEEDWELL_LIBRARY + "/speedwell.js");

const LIMIT = 100000;

function sieve() {
  const composite = new Array(LIMIT).fill(false);
  let count = 0;
  for (let number = 2; number < LIMIT; number += 1) {
    if (composite[number]) continue;
    count += 1;
    for (let multiple = number * number; multiple < LIMIT; multiple += number) composite[multiple] = true;
  }
  return count;
}

bench("sieve", (loops) => {
  for (let loop = 0; loop < loops; loop += 1) check(sieve(), 9592);
});
