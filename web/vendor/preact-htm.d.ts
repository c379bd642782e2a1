// Types of what the console uses of preact-htm.js, for the type checker alone: the package has none for this file.

export type Node = unknown;
export function html(strings: TemplateStringsArray, ...values: unknown[]): any;
export function render(node: Node, parent: Element): void;
export function useState<State>(initial: State): [State, (next: State | ((old: State) => State)) => void];
export function useEffect(effect: () => void | (() => void), when?: readonly unknown[]): void;
export function useRef<Value>(initial: Value): { current: Value };
