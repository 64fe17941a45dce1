/** @file The version of tersor: that of package.json, written here by npm run docs. */

export const version = "0.1.0";
