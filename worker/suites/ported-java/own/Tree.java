// A binary tree of objects: built by inserting pseudo-random numbers, then walked.
public final class Tree {
    static final int COUNT = 5000;

    static final class Node {
        final long value;
        Node left;
        Node right;

        Node(long value) {
            this.value = value;
        }
    }

    static void insert(Node root, long value) {
        Node node = root;
        for (;;) {
            if (value < node.value) {
                if (node.left == null) {
                    node.left = new Node(value);
                    return;
                }
                node = node.left;
            } else {
                if (node.right == null) {
                    node.right = new Node(value);
                    return;
                }
                node = node.right;
            }
        }
    }

    static int depth(Node node) {
        if (node == null) {
            return 0;
        }
        int left = depth(node.left);
        int right = depth(node.right);
        return 1 + (left > right ? left : right);
    }

    static int build() {
        long number = 12345;
        Node root = new Node(number);
        for (int count = 0; count < COUNT; count++) {
            number = (number * 16807) % 2147483647;
            insert(root, number);
        }
        return depth(root);
    }

    public static void main(String[] arguments) throws Exception {
        Speedwell.bench("tree", loops -> {
            for (long loop = 0; loop < loops; loop++) {
                Speedwell.check(build(), 29);
            }
        });
    }
}
