/**
 * @file Tables of the survey paper, copied for comparison with what was measured.
 * Cheng, Wang, Zhou, Zhang, arXiv 1710.09282 v9: Table I (families), II (low rank), III (filters).
 */

export interface PrintedTable {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export const surveySource =
  "Cheng, Wang, Zhou, Zhang: A Survey of Model Compression and Acceleration for Deep Neural Networks, arXiv 1710.09282 v9";

export const printedTables: readonly PrintedTable[] = [
  {
    title: "Families",
    note: "The survey's Table I.",
    header: ["family", "what it does", "layers", "starts from"],
    rows: [
      [
        "parameter pruning and quantization",
        "drop or share parameters the result is not sensitive to",
        "conv + fc",
        "pre-trained or scratch",
      ],
      [
        "low-rank factorization",
        "estimate the informative parameters by matrix or tensor decomposition",
        "conv + fc",
        "pre-trained or scratch",
      ],
      [
        "transferred / compact conv filters",
        "structural filters that save parameters",
        "conv",
        "scratch (tersor: also trained nets, by tying filters)",
      ],
      [
        "knowledge distillation",
        "train a small net on what a large one knows",
        "conv + fc",
        "scratch",
      ],
    ],
  },
  {
    title: "Low rank on ImageNet",
    note: "Top-5 accuracy, speed-up and compression rate.",
    header: ["model", "method", "top-5 %", "speed-up", "rate"],
    rows: [
      ["AlexNet", "original", "80.03", "1.00", "1.00"],
      ["AlexNet", "BN low-rank", "80.56", "1.09", "4.94"],
      ["AlexNet", "CP low-rank", "79.66", "1.82", "5.00"],
      ["VGG-16", "original", "90.60", "1.00", "1.00"],
      ["VGG-16", "BN low-rank", "90.47", "1.53", "2.72"],
      ["VGG-16", "CP low-rank", "90.31", "2.05", "2.75"],
      ["GoogLeNet", "original", "92.21", "1.00", "1.00"],
      ["GoogLeNet", "BN low-rank", "91.88", "1.08", "2.79"],
      ["GoogLeNet", "CP low-rank", "91.79", "1.20", "2.84"],
    ],
  },
  {
    title: "Transferred filters, VGG-16",
    note: "Error in percent (the survey calls these top-5; they are top-1).",
    header: ["method", "CIFAR-100", "CIFAR-10", "rate"],
    rows: [
      ["VGG-16", "34.26", "9.85", "1"],
      ["MBA", "33.66", "9.76", "2"],
      ["CReLU", "34.57", "9.92", "2"],
      ["CIRC", "35.15", "10.23", "4"],
      ["DCNN", "33.57", "9.65", "1.62"],
    ],
  },
];
