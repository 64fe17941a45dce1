/** @file 8 pictures [3, 224, 224] of waves, by a rule without random numbers. */
const rows = (channel, record) =>
  Array.from({ length: 224 }, (_, y) =>
    Array.from({ length: 224 }, (_, x) => Math.sin((x * (record + 1) + y * (channel + 2)) / 17)),
  );

export default function* () {
  for (let record = 0; record < 8; record++) {
    yield { inputs: { image: [0, 1, 2].map((channel) => rows(channel, record)) } };
  }
}
