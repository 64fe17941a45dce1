/** @file 8 records of 32 tokens, by a rule without random numbers. */
export default function* () {
  for (let record = 0; record < 8; record++) {
    const tokens = Array.from({ length: 32 }, (_, i) => (record * 3571 + i * i * 97 + 11) % 32000);
    yield {
      inputs: {
        input_ids: tokens,
        attention_mask: tokens.map(() => 1),
        position_ids: tokens.map((_, i) => i),
      },
    };
  }
}
