/** @file Resizing against Pillow's BILINEAR, computed once with Pillow 12.3. */
import { expect, it } from "vitest";
import { coverImage, cropCentre, resizeArea } from "../../src/data/resize.ts";

/** The same picture that the Pillow script drew. */
function picture(width: number, height: number) {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return x * 37 + y * 91 + c * 53 + ((x * y) % 17) * 11;
  });
  return { width, height, channels: 3, data };
}

it.each([
  [
    9,
    7,
    5,
    5,
    "Z5KYhYq2i62DjWRpVFRpj4h+iH13gGZsYIWUnIqUfpFcjmhsd4CRmV55cZTJXYWKjYOJin92lWhOdkuApnOVh3pQYWecVWSZo02C",
  ],
  [
    5,
    4,
    8,
    8,
    "CT5zHFGGLmOYQXarU4i9ZpvQeK3ii8D1IVaLNWqfSH2iXZKXcJWahImuiI3CfKHWUIW6ZpvQfbK3lMluqq9UwWZrp0yBXmOYf6SpmJ3Coaarm8BlpKlOvWJnp0xxYGVqrrNYyW5ztluAcnd8XoOIen+khouQgqdMnaJHu2Blqk90aW5zWH2Cd3yhhouQhKlOTHF2bXKXf4SJgKVKkpc8tFlepUpvZ2xxI1iNRnuwaZ6TjME2r6QZ0kc8tSpfWE2C",
  ],
  [20, 6, 3, 4, "V1V0S36wiL1bgH6gNFmOeqmrf3SpajJncIWgcFmOn1mOmoys"],
])("covers and crops %ix%i to %ix%i within one grey level", (w, h, width, height, expected) => {
  const pillow = Uint8Array.from(atob(expected), (c) => c.charCodeAt(0));
  const { data, ...rest } = coverImage(picture(w, h), { width, height });
  expect(rest).toEqual({ width, height, channels: 3 });
  expect(Math.max(...data.map((value, i) => Math.abs(value - pillow[i])))).toBeLessThanOrEqual(1);
});

// Pillow: resize(size, BILINEAR, box=(left, top, right, bottom)).
it.each([
  [
    [20, 16],
    { left: 3.25, top: 1.5, width: 12, height: 12.25 },
    { width: 4, height: 5 },
    "gHl3eHKQaXiRlnp3gHh+il2CjGqUjXiCaHWRc3OOfmSWfHR2j1uLdoF+en18gYF9knmKq1Z+k5uBdWyO",
  ],
  [
    [9, 7],
    { left: 0, top: 2, width: 4.5, height: 5 },
    { width: 6, height: 6 },
    "ruMu03VSpkh1P3GUa43AibZYOm9kZXKPf4x5iaYzvElmdmNwRnuwdquDd6xcU3tSjGSMg5BokseRhbpqZZpySHCliGCVmKV9ntNIYZaDYX6zooe0xktIh3SRIleMYpfMsIW65jtQp7wRPHFG",
  ],
])("stretches part of %j, %j, to %j within one grey level", ([w, h], area, size, expected) => {
  const pillow = Uint8Array.from(atob(expected), (c) => c.charCodeAt(0));
  const { data } = resizeArea(picture(w, h), area, size);
  expect(Math.max(...data.map((value, i) => Math.abs(value - pillow[i])))).toBeLessThanOrEqual(1);
});

it("leaves the wanted size alone, and a flat image flat", () => {
  const image = picture(6, 5);
  expect(coverImage(image, { width: 6, height: 5 })).toBe(image);
  const flat = { width: 7, height: 5, channels: 1, data: new Uint8Array(35).fill(255) };
  expect(new Set(coverImage(flat, { width: 13, height: 3 }).data)).toEqual(new Set([255]));
});

it("crops the middle", () => {
  const image = {
    width: 4,
    height: 3,
    channels: 1,
    data: Uint8Array.from({ length: 12 }, (_, i) => i),
  };
  expect([...cropCentre(image, { width: 2, height: 1 }).data]).toEqual([5, 6]);
});
