// A binary tree of objects: built by inserting pseudo-random numbers, then walked.
"use strict";
const { bench, check } = require(process.env.SPEEDWELL_LIBRARY + "/speedwell.js");

const COUNT = 5000;

class Node {
  constructor(value) {
    this.value = value;
    this.left = null;
    this.right = null;
  }
}

function insert(root, value) {
  let node = root;
  for (;;) {
    if (value < node.value) {
      if (node.left === null) {
        node.left = new Node(value);
        return;
      }
      node = node.left;
    } else {
      if (node.right === null) {
        node.right = new Node(value);
        return;
      }
      node = node.right;
    }
  }
}

function depth(node) {
  if (node === null) return 0;
  const left = depth(node.left);
  const right = depth(node.right);
  return 1 + (left > right ? left : right);
}

function build() {
  let number = 12345;
  const root = new Node(number);
  for (let count = 0; count < COUNT; count += 1) {
    number = (number * 16807) % 2147483647;
    insert(root, number);
  }
  return depth(root);
}

bench("tree", (loops) => {
  for (let loop = 0; loop < loops; loop += 1) check(build(), 29);
});
