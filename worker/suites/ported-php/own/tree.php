<?php
// A binary tree of objects: built by inserting pseudo-random numbers, then walked.
declare(strict_types=1);
require getenv("SPEEDWELL_LIBRARY") . "/speedwell.php";

const COUNT = 5000;

final class Node
{
    public ?Node $left = null;
    public ?Node $right = null;

    public function __construct(public int $value)
    {
    }
}

function insert(Node $root, int $value): void
{
    $node = $root;
    while (true) {
        if ($value < $node->value) {
            if ($node->left === null) {
                $node->left = new Node($value);
                return;
            }
            $node = $node->left;
        } else {
            if ($node->right === null) {
                $node->right = new Node($value);
                return;
            }
            $node = $node->right;
        }
    }
}

function depth(?Node $node): int
{
    if ($node === null) {
        return 0;
    }
    $left = depth($node->left);
    $right = depth($node->right);
    return 1 + ($left > $right ? $left : $right);
}

function build(): int
{
    $number = 12345;
    $root = new Node($number);
    for ($count = 0; $count < COUNT; $count++) {
        $number = ($number * 16807) % 2147483647;
        insert($root, $number);
    }
    return depth($root);
}

Speedwell\bench("tree", function (int $loops): void {
    for ($loop = 0; $loop < $loops; $loop++) {
        Speedwell\check(build(), 29);
    }
});
