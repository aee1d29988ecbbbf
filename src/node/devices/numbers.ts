/** `c188:0`, as udev writes it, as the kernel and container runtimes do: `c 188:0`. */
export const numberOf = (key: string): string => `${key.slice(0, 1)} ${key.slice(1)}`;
