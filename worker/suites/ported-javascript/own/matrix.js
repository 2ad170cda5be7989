// Product of two matrices of floats, by three plain loops.
"use strict";
const { bench, check } = require(process.env.SPEEDWELL_LIBRARY + "/speedwell.js");

const SIZE = 60;

function matrix(seed) {
  const rows = [];
  for (let row = 0; row < SIZE; row += 1) {
    const line = [];
    for (let column = 0; column < SIZE; column += 1) line.push((row * seed + column * 7) % 11);
    rows.push(line);
  }
  return rows;
}

function multiply(left, right) {
  const product = [];
  for (const row of left) {
    const line = [];
    for (let column = 0; column < SIZE; column += 1) {
      let total = 0.0;
      for (let index = 0; index < SIZE; index += 1) total += row[index] * right[index][column];
      line.push(total);
    }
    product.push(line);
  }
  return product;
}

const left = matrix(3);
const right = matrix(5);
bench("matrix", (loops) => {
  let product;
  for (let loop = 0; loop < loops; loop += 1) product = multiply(left, right);
  let sum = 0;
  for (const line of product) for (const value of line) sum += value;
  check(sum, 5400175);
});
